import type { KubeObject } from '../ports.js';

/** The parts of a px-node pod that tell where its API is. */
export interface PxPod extends KubeObject {
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface PxAddress {
  readonly nodeName: string;
  /** host:port of the px API. */
  readonly address: string;
  readonly ready: boolean;
}

export const pxPodSelector = 'app.kubernetes.io/name=px,app.kubernetes.io/component=node';

/** The pods use the network of their nodes, so the port is the same everywhere. */
export function pxAddresses(pods: readonly PxPod[], startPort: number): PxAddress[] {
  return (
    pods
      .flatMap((pod) => {
        const { podIP, phase, conditions } = pod.status ?? {};
        const nodeName = pod.spec?.nodeName;
        if (nodeName === undefined || podIP === undefined || phase !== 'Running') return [];
        const host = podIP.includes(':') ? `[${podIP}]` : podIP;
        const ready = conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
        return [
          {
            nodeName,
            address: `${host}:${startPort + 1}`,
            ready: ready === true && pod.metadata.deletionTimestamp === undefined,
          },
        ];
      })
      // While a pod is replaced there are two for its node: the one that is ready counts.
      .sort((a, b) => Number(b.ready) - Number(a.ready) || (a.nodeName < b.nodeName ? -1 : 1))
  );
}
