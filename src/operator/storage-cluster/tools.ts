import type { ConditionBoard } from '../condition-board.js';
import type { OperatorContext } from '../ports.js';
import type { Applier } from './apply.js';
import type { CurrentEvents } from './current-events.js';
import type { Caches } from './observe.js';
import type { StatusWriter } from './status-writer.js';

/** What one pass over a StorageCluster works with. */
export interface Tools {
  readonly context: OperatorContext;
  readonly caches: Caches;
  readonly board: ConditionBoard;
  readonly applier: Applier;
  readonly status: StatusWriter;
  readonly events: CurrentEvents;
}
