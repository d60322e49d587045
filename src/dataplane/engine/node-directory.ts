import type { Logger } from '../../platform/logger.js';
import { parseNodeRecord } from '../cluster/node-record.js';
import type { KvKeys, Kvdb, KvWatch } from '../kvdb/port.js';
import type { SocketAddress } from '../sys/sockets.js';

/** Where the nodes' engines listen, as their records in the key-value store say. */
export class NodeDirectory {
  private watch: KvWatch | undefined;
  private known = new Map<string, SocketAddress>();
  private listing = false;
  private listAgain = false;

  constructor(
    private readonly keys: KvKeys,
    private readonly log: Logger,
    private readonly onChange: (addresses: ReadonlyMap<string, SocketAddress>) => void,
  ) {}

  /** Called again with another store when the endpoints change. */
  follow(kvdb: Kvdb): void {
    this.watch?.close();
    this.watch = kvdb.watch(this.keys.nodes, () => this.list(kvdb));
    this.list(kvdb);
  }

  close(): void {
    this.watch?.close();
  }

  private list(kvdb: Kvdb): void {
    if (this.listing) {
      this.listAgain = true;
      return;
    }
    this.listing = true;
    void this.read(kvdb).finally(() => {
      this.listing = false;
      if (!this.listAgain) return;
      this.listAgain = false;
      this.list(kvdb);
    });
  }

  private async read(kvdb: Kvdb): Promise<void> {
    try {
      const { entries } = await kvdb.list(this.keys.nodes);
      const addresses = new Map<string, SocketAddress>();
      for (const { key, value } of entries) {
        const id = key.slice(this.keys.nodes.length);
        const record = parseNodeRecord(value);
        const address = record === undefined ? undefined : parseAddress(record.dataAddress);
        if (address !== undefined) addresses.set(id, address);
      }
      if (sameAddresses(this.known, addresses)) return;
      this.known = addresses;
      this.onChange(addresses);
    } catch (error) {
      // The watch hints again when the store is back; what was known stays good meanwhile.
      this.log.debug('the nodes cannot be listed', { error: String(error) });
    }
  }
}

/** `host:port`, an IPv6 host in brackets; undefined for anything else. */
export function parseAddress(text: string): SocketAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port > 65535 ? undefined : { host, port };
}

function sameAddresses(
  left: ReadonlyMap<string, SocketAddress>,
  right: ReadonlyMap<string, SocketAddress>,
): boolean {
  if (left.size !== right.size) return false;
  for (const [id, { host, port }] of left) {
    const other = right.get(id);
    if (other?.host !== host || other.port !== port) return false;
  }
  return true;
}
