import type { NodeApi } from '../platform/grpc-client.js';
import type { RunCommand } from '../platform/run-command.js';

/** What every command is given. */
export interface PxctlContext {
  /** Connects on first use. */
  api(): NodeApi;
  readonly run: RunCommand;
  /** `-j`: JSON instead of text. */
  json(): boolean;
  print(text: string): void;
}

/** Commands that may have to wait for data to be copied or compared. */
export const longTimeoutMs = 3_600_000;

export function printJson(context: PxctlContext, value: unknown): void {
  context.print(JSON.stringify(value, null, 1));
}
