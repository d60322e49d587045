import type { Frontend, VolumeTarget } from '../../io/ports.js';

/** A volume as an NBD server offers it. `sizeBytes` is read afresh: volumes grow. */
export interface NbdExport {
  readonly volumeId: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: 512 | 4096;
  readonly readOnly: boolean;
  /** A connection begins to use the volume: what it submits is completed to `frontend`. */
  connect(frontend: Frontend): VolumeTarget;
  /** Nothing of this connection is at work any more. */
  disconnect(frontend: Frontend): void;
}

export interface NbdExports {
  /** The export of that name (a volume id), or the default one for the empty name. */
  find(name: string): NbdExport | undefined;
  names(): readonly string[];
}
