import { signalEventFd } from '../../sys/epoll.js';
import { fdatasync, fsync } from '../../sys/files.js';
import { errnoOf } from '../durable-files.js';
import { ClientMemory, openLane, SyncOperation, type SyncWorkerData } from '../sync-shared.js';
import { runTextJob } from '../text-jobs.js';

/** A worker's life: sleep until there is an item, do it, tell its client. */
export function runSyncWorker(data: SyncWorkerData): void {
  const lane = openLane(data.lane);
  const memories = data.clients.map((client) => new ClientMemory(client.memory));
  for (;;) {
    const seen = lane.signal();
    if (!lane.take()) {
      lane.sleep(seen);
      continue;
    }
    const [operation = 0, argument = 0, job = 0, index = 0] = lane.item;
    if (operation === SyncOperation.stop) return;
    const memory = memories[index];
    const client = data.clients[index];
    if (memory === undefined || client === undefined) throw new Error(`no client ${index}`);
    const status = perform(memory, operation, argument);
    if (memory.finishItem(job, status)) signalEventFd(client.eventFd);
  }
}

function perform(memory: ClientMemory, operation: number, argument: number): number {
  if (operation === SyncOperation.fdatasync) return Math.max(0, -fdatasync(argument));
  if (operation === SyncOperation.fsync) return Math.max(0, -fsync(argument));
  try {
    runTextJob(memory.text(argument));
    return 0;
  } catch (error) {
    memory.putText(argument, error instanceof Error ? error.message : String(error));
    return errnoOf(error);
  }
}
