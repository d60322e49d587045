/** A state of things that an operator should know. */
export interface HealthAlert {
  readonly severity: 'warning' | 'critical';
  readonly resource: string;
  readonly message: string;
  /** RFC 3339, when it was first seen. */
  readonly since: string;
}

export type HealthProblem = Omit<HealthAlert, 'since'>;

/**
 * The problems of this node, by source. Each source says what is wrong now;
 * an alert keeps the time at which it was first seen.
 */
export class NodeHealth {
  private readonly bySource = new Map<string, readonly HealthAlert[]>();

  constructor(private readonly now: () => string = () => new Date().toISOString()) {}

  set(source: string, problems: readonly HealthProblem[]): void {
    const before = this.bySource.get(source) ?? [];
    this.bySource.set(
      source,
      problems.map((problem) => {
        const known = before.find((alert) => alert.resource === problem.resource);
        return { ...problem, since: known?.since ?? this.now() };
      }),
    );
  }

  alerts(): HealthAlert[] {
    return [...this.bySource.values()].flat();
  }
}
