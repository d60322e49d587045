/** Which image each container runs, and what a person may change about it. */

export interface ImageSpec {
  readonly image?: string;
  readonly version?: string;
  readonly customImageRegistry?: string;
}

export interface Images {
  readonly px: string;
  readonly provisioner: string;
  readonly attacher: string;
  readonly resizer: string;
  readonly snapshotter: string;
  readonly snapshotController: string;
}

const sidecars = {
  provisioner: 'registry.k8s.io/sig-storage/csi-provisioner:v6.3.0',
  attacher: 'registry.k8s.io/sig-storage/csi-attacher:v4.13.0',
  resizer: 'registry.k8s.io/sig-storage/csi-resizer:v2.3.0',
  snapshotter: 'registry.k8s.io/sig-storage/csi-snapshotter:v8.7.0',
  snapshotController: 'registry.k8s.io/sig-storage/snapshot-controller:v8.7.0',
} as const;

/** `defaultImage` is the operator's own: one image holds every program of px. */
export function imagesOf(spec: ImageSpec, defaultImage: string): Images {
  const registry = spec.customImageRegistry;
  const from = (image: string): string => withRegistry(image, registry);
  return {
    px: from(pxImage(spec, defaultImage)),
    provisioner: from(sidecars.provisioner),
    attacher: from(sidecars.attacher),
    resizer: from(sidecars.resizer),
    snapshotter: from(sidecars.snapshotter),
    snapshotController: from(sidecars.snapshotController),
  };
}

/**
 * A manifest that was written for Portworx names that product's image, which
 * knows nothing of this operator.
 */
export function namesForeignImage(spec: ImageSpec): boolean {
  return spec.image !== undefined && /(^|\/)portworx\/(oci-monitor|px-)/.test(spec.image);
}

function pxImage(spec: ImageSpec, defaultImage: string): string {
  // The version goes with the image: that of a foreign one is not one of ours.
  if (namesForeignImage(spec)) return defaultImage;
  if (spec.image !== undefined && spec.image !== '') {
    return hasTag(spec.image)
      ? spec.image
      : withTag(spec.image, spec.version ?? tagOf(defaultImage));
  }
  return spec.version === undefined || spec.version === ''
    ? defaultImage
    : withTag(withoutTag(defaultImage), spec.version);
}

/** Version as a person reads it: the tag, or the digest's beginning. */
export function versionOf(image: string): string {
  const digest = image.indexOf('@');
  if (digest >= 0 && tagOf(image.slice(0, digest)) === '')
    return image.slice(digest + 1, digest + 20);
  return tagOf(digest >= 0 ? image.slice(0, digest) : image);
}

/** `registry.example/mirror` + `registry.k8s.io/a/b:1` = `registry.example/mirror/a/b:1`. */
export function withRegistry(image: string, registry: string | undefined): string {
  if (registry === undefined || registry === '') return image;
  const prefix = `${registry.replace(/\/+$/, '')}/`;
  // The operator's own image, which is the default, may already come from there.
  if (image.startsWith(prefix)) return image;
  const [first = '', ...rest] = image.split('/');
  const path = rest.length > 0 && isRegistry(first) ? rest.join('/') : image;
  return `${prefix}${path}`;
}

/** The rule of image references: the first part is a host if it has a dot, a port, or is localhost. */
function isRegistry(part: string): boolean {
  return part.includes('.') || part.includes(':') || part === 'localhost';
}

function hasTag(image: string): boolean {
  return image.includes('@') || tagOf(image) !== '';
}

/** A colon before the last slash is a port. */
function tagOf(image: string): string {
  const colon = image.indexOf(':', image.lastIndexOf('/') + 1);
  return colon < 0 ? '' : image.slice(colon + 1);
}

function withoutTag(image: string): string {
  const bare = image.includes('@') ? image.slice(0, image.indexOf('@')) : image;
  const tag = tagOf(bare);
  return tag === '' ? bare : bare.slice(0, -tag.length - 1);
}

function withTag(image: string, tag: string): string {
  return tag === '' ? image : `${image}:${tag}`;
}
