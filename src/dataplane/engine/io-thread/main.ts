import { parentPort, workerData } from 'node:worker_threads';
import { IoThread } from './io-thread.js';
import type { IoThreadData } from './messages.js';

if (parentPort === null) throw new Error('this file runs as a worker thread of the engine');
new IoThread(workerData as IoThreadData, parentPort).run();
