import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PxError } from '../../kernel/errors.js';
import { monotonicMs } from '../../platform/monotonic.js';

/** Where the API server is and how we prove who we are. */
export interface KubeConnection {
  readonly server: URL;
  readonly tls: {
    readonly ca?: string | Buffer;
    readonly cert?: string | Buffer;
    readonly key?: string | Buffer;
    readonly rejectUnauthorized?: boolean;
  };
  /** The value of the Authorization header; `fresh` after an answer of 401. */
  authorization(fresh: boolean): Promise<string | undefined>;
}

const serviceAccountDir = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The kubelet replaces a bound token at four fifths of its life, an hour at least. */
const tokenAgeMs = 60_000;

/** Inside of a pod: the ServiceAccount that the kubelet mounts. */
export function inClusterConnection(
  env: Readonly<Record<string, string | undefined>>,
  dir: string = serviceAccountDir,
): KubeConnection {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT ?? '443';
  if (host === undefined || host === '') {
    throw new PxError(
      'invalid_argument',
      'this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST is not set; give --kubeconfig',
    );
  }
  const tokenFile = join(dir, 'token');
  let token: { readonly text: string; readonly readAtMs: number } | undefined;
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    tls: { ca: readFileSync(join(dir, 'ca.crt')) },
    authorization: async (fresh) => {
      const nowMs = monotonicMs();
      if (token === undefined || fresh || nowMs - token.readAtMs > tokenAgeMs) {
        token = { text: (await readFile(tokenFile, 'utf8')).trim(), readAtMs: nowMs };
      }
      return `Bearer ${token.text}`;
    },
  };
}

/** The namespace of the pod, as the kubelet tells it. */
export function inClusterNamespace(dir: string = serviceAccountDir): string | undefined {
  try {
    return readFileSync(join(dir, 'namespace'), 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * From a kubeconfig, with everything that it may ask for: certificates, tokens,
 * OIDC, commands. The client library does that; it is loaded only here, since
 * in a pod it would cost 75 MB of memory for nothing.
 */
export async function kubeconfigConnection(file: string): Promise<KubeConnection> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  config.loadFromFile(file);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new PxError('invalid_argument', `${file} has no current context`);
  }
  const read = async () => {
    const options: { headers: Record<string, string> } & KubeConnection['tls'] = { headers: {} };
    await config.applyToHTTPSOptions(options);
    return options;
  };
  const { ca, cert, key } = await read();
  return {
    server: new URL(cluster.server),
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      rejectUnauthorized: !cluster.skipTLSVerify,
    },
    authorization: async () => (await read()).headers.Authorization,
  };
}
