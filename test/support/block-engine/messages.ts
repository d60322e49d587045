/** What the test engine keeps in the holder for each volume. */
export interface TestVolumeSettings {
  readonly sizeBytes: number;
  readonly blockSizeBytes: 512 | 4096;
  readonly readOnly: boolean;
  readonly image: string;
}

export type ToIoThread =
  | {
      type: 'serve';
      id: number;
      volumeId: string;
      fd: number;
      mountToken: number;
      settings: TestVolumeSettings;
    }
  | { type: 'serveNbd'; id: number; socket: string; volumes: Record<string, TestVolumeSettings> }
  | { type: 'resize'; id: number; volumeId: string; sizeBytes: number }
  | { type: 'counts'; id: number; volumeId: string };

export interface FromIoThread {
  readonly id: number;
  readonly wakeFd?: number;
  readonly result?: unknown;
}
