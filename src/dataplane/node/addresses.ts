import { isIP } from 'node:net';
import { PxError } from '../../kernel/errors.js';

export type Interfaces = Readonly<
  Record<string, readonly { address: string; family: string; internal: boolean }[] | undefined>
>;

/**
 * The address of an interface that the configuration names; the first of a
 * real interface when it names none. IPv4 goes first.
 */
export function addressOf(
  field: 'mgtiface' | 'dataiface',
  name: string | undefined,
  interfaces: Interfaces,
): string {
  if (name !== undefined && isIP(name) !== 0) return name;
  if (name !== undefined) {
    const entries = interfaces[name];
    if (entries === undefined) {
      const known = Object.keys(interfaces).join(', ');
      throw new PxError(
        'invalid_argument',
        `${field}: there is no interface "${name}" with an address (there are: ${known})`,
      );
    }
    return firstAddress(entries, field);
  }
  const all = Object.values(interfaces).flatMap((entries) => entries ?? []);
  const external = all.filter((entry) => !entry.internal);
  return firstAddress(external.length > 0 ? external : all, field);
}

function firstAddress(
  entries: readonly { address: string; family: string }[],
  field: string,
): string {
  const usable = entries.filter((entry) => !entry.address.startsWith('fe80:'));
  const found = usable.find((entry) => entry.family === 'IPv4') ?? usable[0];
  if (found === undefined) {
    throw new PxError('invalid_argument', `${field}: the interface has no usable address`);
  }
  return found.address;
}

export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
