import type { CreateVolumeRequest__Output } from '../../gen/csi/v1/CreateVolumeRequest.js';
import type { CreateVolumeResponse } from '../../gen/csi/v1/CreateVolumeResponse.js';
import type { VolumeContentSource__Output } from '../../gen/csi/v1/VolumeContentSource.js';
import type { Volume__Output as PxVolume } from '../../gen/px/v1/Volume.js';
import { PxError, toPxError } from '../../kernel/errors.js';
import { readAccesses, type Access } from '../capability.js';
import { withClaim } from '../claims/claim-parameters.js';
import {
  parseMutable,
  parseStorageClass,
  type ClassParameters,
  type FsChoice,
} from '../parameters/storage-class.js';
import {
  findVolume,
  isReady,
  isSnapshot,
  listNodes,
  lookUpVolume,
  policyIsArgument,
  pxTimeouts,
  required,
  sizeOf,
} from '../px-volumes.js';
import { chooseSizeBytes, readSizeRange, sizeWithin, type SizeRange } from '../sizes.js';
import { volumeContext } from '../volume-context.js';
import { volumeSpec } from '../volume-spec.js';
import type { ControllerContext } from './context.js';
import { volumeMessage } from './messages.js';
import { chooseNodes } from './placement.js';

interface Wish {
  readonly name: string;
  readonly range: SizeRange;
  readonly parameters: ClassParameters;
  readonly accesses: readonly Access[];
  readonly source: PxVolume | undefined;
  readonly fs: FsChoice;
}

export async function createVolume(
  context: ControllerContext,
  request: CreateVolumeRequest__Output,
): Promise<CreateVolumeResponse> {
  const name = required(request.name, 'name');
  const accesses = readAccesses(request.volume_capabilities);
  parseMutable(request.mutable_parameters);
  // Where both name a key, the VolumeAttributesClass counts, as CSI says.
  const parameters = parseStorageClass({
    ...(await withClaim(context.claims, request.parameters)),
    ...request.mutable_parameters,
  });
  const range = readSizeRange(request.capacity_range);
  return context.locks.run(`name ${name}`, 'CreateVolume', async () => {
    const source = await findSource(context, request.volume_content_source);
    const fs = chooseFs(parameters.fs, accesses, source);
    const wish: Wish = { name, range, parameters, accesses, source, fs };
    const nodes = await listNodes(context.px);
    const placement = chooseNodes(context.topology, nodes, request.accessibility_requirements, {
      anyRegion: parameters.regions !== undefined,
    });
    const { volume: existing, difference } = await findExisting(context, wish);
    const volume =
      existing !== undefined && difference === undefined
        ? existing
        : await provision(context, wish, placement).catch((thrown: unknown) => {
            throw difference === undefined ? thrown : clearer(thrown, wish.name, difference);
          });
    return {
      volume: {
        ...volumeMessage(volume, nodes, context.topology),
        volume_context: volumeContext(parameters),
        content_source: request.volume_content_source,
      },
    };
  });
}

async function provision(
  context: ControllerContext,
  wish: Wish,
  placement: { preferredNodes: string[]; required: { segments: Record<string, string> }[] },
): Promise<PxVolume> {
  const leastBytes = wish.source === undefined ? 0 : sizeOf(wish.source);
  const timeoutMs = wish.source === undefined ? pxTimeouts.changeMs : pxTimeouts.copyMs;
  const { limitBytes } = wish.range;
  return policyIsArgument(
    context.px.CreateVolume(
      {
        name: wish.name,
        spec: volumeSpec(wish.parameters, {
          fs: wish.fs,
          sizeBytes: chooseSizeBytes(wish.range, leastBytes),
          source: wish.source,
        }),
        preferred_nodes: placement.preferredNodes,
        required: placement.required,
        from_volume_id: wish.source?.id ?? '',
        limit_bytes: limitBytes === Infinity ? 0 : limitBytes,
      },
      { timeoutMs },
    ),
  );
}

/**
 * The class's `fs` overrides the claim's fsType. A copy keeps the file system
 * that is in it, so only an explicit contradiction is refused.
 */
function chooseFs(
  asked: FsChoice | undefined,
  accesses: readonly Access[],
  source: PxVolume | undefined,
): FsChoice {
  if (accesses[0]?.kind === 'block') return 'none';
  if (asked === 'none') {
    throw new PxError(
      'invalid_argument',
      'parameter "fs" has the value "none", and the volume is asked for with a file system; ' +
        'allowed: ext4, xfs, or volumeMode Block',
    );
  }
  const inSource = source?.spec?.fs;
  if (inSource === 'ext4' || inSource === 'xfs') {
    if (asked !== undefined && asked !== inSource) {
      throw new PxError(
        'invalid_argument',
        `parameter "fs" has the value "${asked}", and the source holds ${inSource}; ` +
          `allowed: ${inSource}`,
      );
    }
    return inSource;
  }
  const named = accesses.map((access) => access.fsType).find((fsType) => fsType !== '');
  return asked ?? named ?? 'ext4';
}

async function findSource(
  context: ControllerContext,
  source: VolumeContentSource__Output | null,
): Promise<PxVolume | undefined> {
  if (source === null) return undefined;
  const wantsSnapshot = source.type === 'snapshot';
  const id = wantsSnapshot ? source.snapshot?.snapshot_id : source.volume?.volume_id;
  const volume = await findVolume(context.px, required(id ?? '', 'the id of the content source'));
  if (volume === undefined || isSnapshot(volume) !== wantsSnapshot) {
    throw new PxError('not_found', `there is no ${source.type ?? 'volume'} "${id}" to copy`);
  }
  return volume;
}

interface Existing {
  readonly volume?: PxVolume;
  /** In what it is not what is asked for, as far as this can be seen from here. */
  readonly difference?: string;
}

/** The volume of that name, when there is one and it is whole. */
async function findExisting(context: ControllerContext, wish: Wish): Promise<Existing> {
  const existing = await lookUpVolume(context.px, wish.name);
  // A half-made one is for px-node to finish, which knows how far it came.
  if (existing === undefined || existing.name !== wish.name || !isReady(existing)) return {};
  // A copy has its source's size until its last step, which px-node finishes too.
  const mayBeUngrown = wish.source !== undefined && existing.parent_id === wish.source.id;
  if (mayBeUngrown && sizeOf(existing) < wish.range.requiredBytes) return {};
  const difference = differenceFrom(existing, wish);
  return difference === undefined ? { volume: existing } : { volume: existing, difference };
}

/**
 * A policy may have made another volume of this very request, which px-node
 * remembers; when it says that the volume is a stranger's, we know in what.
 */
function clearer(thrown: unknown, name: string, difference: string): unknown {
  if (toPxError(thrown).code !== 'already_exists') return thrown;
  return new PxError('already_exists', `a volume "${name}" exists with ${difference}`);
}

function differenceFrom(existing: PxVolume, wish: Wish): string | undefined {
  const { spec } = existing;
  const { parameters, source } = wish;
  if (existing.read_only) return 'read-only content: it is a snapshot';
  if (!sizeWithin(sizeOf(existing), wish.range)) return `a size of ${sizeOf(existing)} bytes`;
  if (existing.parent_id !== (source?.id ?? '')) {
    return existing.parent_id === '' ? 'no source' : `the source "${existing.parent_id}"`;
  }
  if (spec?.fs !== wish.fs) return `fs ${spec?.fs}`;
  if (source !== undefined) return undefined;
  if (spec.replicas !== (parameters.replicas ?? 1)) return `repl ${spec.replicas}`;
  if (spec.io_priority !== (parameters.ioPriority ?? 'low')) {
    return `io_priority ${spec.io_priority}`;
  }
  const blockSizeBytes = parameters.blockSizeBytes ?? 4096;
  return spec.block_size_bytes === blockSizeBytes
    ? undefined
    : `block_size ${spec.block_size_bytes}`;
}
