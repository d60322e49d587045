import { open } from 'node:fs/promises';
import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../run-command.js';

/** A device to look at; a path may be a link to it. */
export interface ProbedDevice {
  readonly path: string;
  readonly sizeBytes: number;
}

/** What low-level probing of libblkid finds. */
export type Signatures =
  | { readonly found: 'nothing' }
  /** Several that contradict each other, or an answer that says nothing. */
  | { readonly found: 'unclear'; readonly what: string }
  /** blkid's names: TYPE, UUID, LABEL, PTTYPE… */
  | { readonly found: 'tags'; readonly tags: ReadonlyMap<string, string> };

export type FsType = 'ext4' | 'xfs';

/** What a volume's device holds. Only `empty` and `unfinished` may be formatted. */
export type DeviceContent =
  | { readonly kind: 'empty' }
  | { readonly kind: 'filesystem'; readonly fsType: FsType }
  /** mkfs.xfs was cut off before its end, so nothing was ever stored. */
  | { readonly kind: 'unfinished' }
  | { readonly kind: 'foreign'; readonly what: string };

const probeTimeoutMs = 30_000;
const edgeBytes = 1024 * 1024;

/** blkid(8): 2 is "nothing found", and also "could not read". 8 is "several answers". */
const blkidNothing = 2;
const blkidAmbivalent = 8;

/**
 * Nothing is found only when blkid found nothing AND both ends of the device,
 * where signatures are, can be read: blkid gives the same answer for both, and
 * a device that gives no answer must never be formatted. Throws in that case.
 */
export async function readSignatures(run: RunCommand, device: ProbedDevice): Promise<Signatures> {
  const probed = await run('blkid', ['-p', '-o', 'export', device.path], {
    timeoutMs: probeTimeoutMs,
    okExitCodes: [0, blkidNothing, blkidAmbivalent],
  });
  if (probed.exitCode === blkidAmbivalent) {
    return { found: 'unclear', what: 'signatures of several formats' };
  }
  if (probed.exitCode === blkidNothing && probed.stdout.trim() === '') {
    await readEdges(run, device);
    return { found: 'nothing' };
  }
  const tags = parseExport(probed.stdout);
  if (probed.exitCode === blkidNothing || tags.size === 0) {
    return { found: 'unclear', what: nameOf(new Map()) };
  }
  return { found: 'tags', tags };
}

/** What is on the device of a volume, for whoever is about to mount it. */
export async function probeContent(run: RunCommand, device: ProbedDevice): Promise<DeviceContent> {
  const signatures = await readSignatures(run, device);
  if (signatures.found === 'nothing') return { kind: 'empty' };
  if (signatures.found === 'unclear') return { kind: 'foreign', what: signatures.what };
  const { tags } = signatures;
  const type = tags.get('TYPE');
  if (isPlainXfs(tags) && (await isUnfinishedXfs(device.path))) return { kind: 'unfinished' };
  if (type === 'ext4' || type === 'xfs') return { kind: 'filesystem', fsType: type };
  return { kind: 'foreign', what: nameOf(tags) };
}

/** With a partition table beside it, it is not for us to say which of the two is meant. */
export function isPlainXfs(tags: ReadonlyMap<string, string>): boolean {
  return tags.get('TYPE') === 'xfs' && !tags.has('PTTYPE');
}

/** What was found, in the words of a refusal. */
export function nameOf(tags: ReadonlyMap<string, string>): string {
  const table = tags.get('PTTYPE');
  const named = table === undefined ? undefined : `a ${table} partition table`;
  return tags.get('TYPE') ?? named ?? 'something that blkid cannot name';
}

function parseExport(text: string): Map<string, string> {
  const tags = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) tags.set(line.slice(0, at), line.slice(at + 1));
  }
  return tags;
}

/** A child reads, so that a device that blocks costs a bounded child and no thread of ours. */
async function readEdges(run: RunCommand, device: ProbedDevice): Promise<void> {
  const lengthBytes = Math.min(edgeBytes, device.sizeBytes);
  for (const offsetBytes of new Set([0, device.sizeBytes - lengthBytes])) {
    const args = [`if=${device.path}`, 'of=/dev/null', `bs=${lengthBytes}`, 'count=1'];
    const { stderr } = await run(
      'dd',
      [...args, `skip=${offsetBytes}`, 'iflag=direct,fullblock,skip_bytes'],
      { timeoutMs: probeTimeoutMs },
    );
    const copiedBytes = Number(/^(\d+) bytes? /m.exec(stderr)?.[1] ?? 0);
    if (copiedBytes !== lengthBytes) {
      throw new PxError('io_error', `${device.path} ends before its size`);
    }
  }
}

/** sb_inprogress of the XFS superblock: mkfs.xfs clears it as its last step. */
const inProgressOffset = 126;

async function isUnfinishedXfs(path: string): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, 0);
    return bytesRead === 512 && buffer[inProgressOffset] === 1;
  } finally {
    await file.close();
  }
}
