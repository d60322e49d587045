import type { Clock } from '../ports.js';

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  timestamp: () => new Date().toISOString().replace(/\.\d{3}Z$/, 'Z'),
};
