import type { OperatorContext } from './ports.js';

/** What a controller says of the StorageCluster; one of each type. */
export interface ReportedCondition {
  readonly source: string;
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
}

/**
 * Where the controllers hang out what they have to say of the StorageCluster.
 * Server-side apply knows one owner a field manager, so only one writer may
 * apply the status: the StorageCluster's controller, which takes these along.
 * Nothing is lost with the process: each controller reports again at its first
 * pass after a restart.
 */
export interface ConditionBoard {
  report(condition: ReportedCondition): void;
  withdraw(type: string): void;
  all(): readonly ReportedCondition[];
  /** Called when a condition is new, different or gone. */
  onChange(listener: () => void): void;
}

const boards = new WeakMap<object, ConditionBoard>();

/** The one board of an operator. */
export function conditionBoard(context: Pick<OperatorContext, 'px'>): ConditionBoard {
  const existing = boards.get(context.px);
  if (existing !== undefined) return existing;
  const board = createConditionBoard();
  boards.set(context.px, board);
  return board;
}

function createConditionBoard(): ConditionBoard {
  const conditions = new Map<string, ReportedCondition>();
  const listeners: (() => void)[] = [];
  const changed = (): void => listeners.forEach((listener) => listener());
  return {
    report: (condition) => {
      const before = conditions.get(condition.type);
      conditions.set(condition.type, condition);
      if (before === undefined || !isSame(before, condition)) changed();
    },
    withdraw: (type) => {
      if (conditions.delete(type)) changed();
    },
    all: () => [...conditions.values()],
    onChange: (listener) => {
      listeners.push(listener);
    },
  };
}

function isSame(one: ReportedCondition, other: ReportedCondition): boolean {
  return (
    one.source === other.source &&
    one.status === other.status &&
    one.reason === other.reason &&
    one.message === other.message
  );
}
