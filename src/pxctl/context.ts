import type { FilesystemTool } from '../platform/block/filesystem.js';
import type { Mounter } from '../platform/block/mounter.js';
import type { NodeApi } from '../platform/grpc-client.js';
import type { RunCommand } from '../platform/run-command.js';

/** What main.ts hands in: everything of the outside world that pxctl touches. */
export interface PxctlDeps {
  readonly version: string;
  readonly connect: (endpoint: string, timeoutMs: number) => NodeApi;
  readonly run: RunCommand;
  readonly mountInfoPath: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** What one command works with. */
export interface CommandContext {
  readonly px: NodeApi;
  readonly json: boolean;
  readonly mounter: Mounter;
  readonly filesystems: FilesystemTool;
  /** For work that reads or copies whole volumes; what --timeout says, when it does. */
  readonly longTimeoutMs: number;
  /** A line of the result. */
  readonly print: (text: string) => void;
  /** A line beside the result, on stderr. */
  readonly note: (text: string) => void;
}

/** JSON when it was asked for, else the text; only the asked one is made. */
export function show(context: CommandContext, json: () => unknown, text: () => string): void {
  context.print(context.json ? JSON.stringify(json(), null, 2) : text());
}
