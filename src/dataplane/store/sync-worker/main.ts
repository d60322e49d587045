import { workerData } from 'node:worker_threads';
import type { SyncWorkerData } from '../sync-shared.js';
import { runSyncWorker } from './sync-worker.js';

runSyncWorker(workerData as SyncWorkerData);
