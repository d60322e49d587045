import { definitions } from '../../crds/definitions.js';
import { customResourceDefinition } from '../../crds/manifest.js';
import { resources } from '../../crds/resources.js';
import { PxError } from '../../kernel/errors.js';
import { delay, monotonicMs } from '../../platform/monotonic.js';
import type { KubeApi, KubeObject } from '../ports.js';

interface Definition extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly message?: string;
    }[];
  };
}

const pollMs = 500;

/**
 * `px-operator apply-crds`: helm installs custom resource definitions once and
 * never changes them, so the chart has this run before each upgrade.
 */
export async function applyDefinitions(
  kube: KubeApi,
  timeoutMs: number,
  say: (text: string) => void,
): Promise<void> {
  const deadline = monotonicMs() + timeoutMs;
  for (const definition of definitions) {
    const manifest = customResourceDefinition(definition);
    const { name } = manifest.metadata;
    let applied: Definition | undefined = await kube.apply(
      resources.customResourceDefinition,
      manifest,
    );
    while (!isEstablished(applied)) {
      if (monotonicMs() > deadline) {
        const reason = applied?.status?.conditions?.map(({ message }) => message).join('; ');
        throw new PxError('deadline_exceeded', `${name} is not established: ${reason ?? ''}`);
      }
      await delay(pollMs);
      applied = await kube.get<Definition>(resources.customResourceDefinition, { name });
    }
    say(`${name} is applied`);
  }
}

function isEstablished(definition: Definition | undefined): boolean {
  return (
    definition?.status?.conditions?.some(
      ({ type, status }) => type === 'Established' && status === 'True',
    ) === true
  );
}
