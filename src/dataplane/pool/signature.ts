import { toPxError } from '../../kernel/errors.js';
import { isPlainXfs, nameOf, readSignatures } from '../../platform/block/probe.js';
import type { RunCommand } from '../../platform/run-command.js';

export type Signature =
  | { readonly found: 'nothing' }
  | { readonly found: 'xfs'; readonly uuid: string; readonly label: string }
  /** Something else, or no answer: in use. */
  | { readonly found: 'foreign'; readonly what: string };

/** What is on a device that might become a pool's; doubt is never "nothing". */
export async function probeSignature(
  run: RunCommand,
  path: string,
  sizeBytes: number,
): Promise<Signature> {
  try {
    const signatures = await readSignatures(run, { path, sizeBytes });
    if (signatures.found === 'nothing') return signatures;
    if (signatures.found === 'unclear') return { found: 'foreign', what: signatures.what };
    const { tags } = signatures;
    if (!isPlainXfs(tags)) return { found: 'foreign', what: nameOf(tags) };
    return { found: 'xfs', uuid: tags.get('UUID') ?? '', label: tags.get('LABEL') ?? '' };
  } catch (error) {
    return { found: 'foreign', what: `no clear answer: ${toPxError(error).message}` };
  }
}
