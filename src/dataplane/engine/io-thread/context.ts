import type { LogFields } from '../../../platform/logger.js';
import type { UnansweredRequests } from '../../frontend/fuse/unanswered.js';
import type { EpollIoLoop } from '../../io/io-loop.js';
import type { Frontend } from '../../io/ports.js';
import type { NativeSlotTable } from '../../io/slot-table.js';
import type { CoordinatorEvents, ReplicaPort } from '../../protocol/ports.js';
import type { Outbox } from '../outbox.js';
import type { ReplicaRegistry } from '../replica-registry.js';
import type { CoordinatorTimers } from './coordinator-timers.js';
import type { FromThread } from './messages.js';
import type { MachineClock } from './thread-clock.js';

/** What the volumes of an I/O thread share. */
export interface IoThreadContext {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly registry: ReplicaRegistry;
  readonly loop: EpollIoLoop;
  readonly slots: NativeSlotTable;
  readonly clock: MachineClock;
  readonly outbox: Outbox;
  /** The frontend that waits for the answer of each slot. */
  readonly owners: (Frontend | undefined)[];
  readonly timers: CoordinatorTimers;
  /** What an earlier engine left unanswered, on kernels that don't ask again. */
  readonly unanswered: UnansweredRequests | undefined;
  onFrontendStarted(): void;
  post(message: FromThread): void;
  log(level: 'info' | 'warn' | 'error', message: string, fields: LogFields): void;
  /** Calls back when the frontend waits for no answer any more, at the end of a turn. */
  whenIdle(frontend: Frontend, callback: () => void): void;
  createLink(events: CoordinatorEvents, link: number, nodeId: string): ReplicaPort;
}
