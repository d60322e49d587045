import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What the operator tells about itself; named and described for docs/reference/metrics.md. */
export class OperatorMetrics {
  readonly registry = new Registry();
  private readonly registers = [this.registry];

  private readonly passes = new Counter({
    name: 'px_operator_reconcile_total',
    help: 'Passes of a controller, by result: done or failed.',
    labelNames: ['controller', 'result'],
    registers: this.registers,
  });
  private readonly durations = new Histogram({
    name: 'px_operator_reconcile_duration_seconds',
    help: 'How long a pass of a controller took.',
    labelNames: ['controller'],
    buckets: [0.01, 0.05, 0.25, 1, 5, 30, 120],
    registers: this.registers,
  });
  private readonly restarts = new Counter({
    name: 'px_operator_watch_restarts_total',
    help: 'Watches taken up again, by reason: ended, error, gone, silent or relist.',
    labelNames: ['kind', 'reason'],
    registers: this.registers,
  });
  private readonly requests = new Counter({
    name: 'px_operator_kube_requests_total',
    help: 'Answers of the API server by status; 0 is no answer.',
    labelNames: ['method', 'status'],
    registers: this.registers,
  });

  private readonly volumeHealth = new Gauge({
    name: 'px_operator_volumes',
    help: 'Volumes by health: well, degraded, full (a pool that holds it) or down; on the leader.',
    labelNames: ['health'],
    registers: this.registers,
  });

  startPass(controller: string): (result: 'done' | 'failed') => void {
    const startedAt = performance.now();
    return (result) => {
      this.passes.inc({ controller, result });
      this.durations.observe({ controller }, (performance.now() - startedAt) / 1_000);
    };
  }

  watchRestarted(kind: string, reason: string): void {
    this.restarts.inc({ kind, reason });
  }

  answered(method: string, status: number): void {
    this.requests.inc({ method, status });
  }

  volumes(counts: Readonly<Record<string, number>>): void {
    for (const [health, count] of Object.entries(counts)) this.volumeHealth.set({ health }, count);
  }

  /** Values that are read when somebody asks. */
  observe(source: {
    readonly queues: () => readonly { readonly name: string; readonly depth: number }[];
    readonly isLeader: () => boolean;
  }): void {
    const { registers } = this;
    new Gauge({
      name: 'px_operator_queue_depth',
      help: 'Keys that wait for a worker.',
      labelNames: ['controller'],
      registers,
      collect() {
        for (const { name, depth } of source.queues()) this.set({ controller: name }, depth);
      },
    });
    new Gauge({
      name: 'px_operator_leader',
      help: 'Whether this operator is the one that acts: 1 or 0.',
      registers,
      collect() {
        this.set(source.isLeader() ? 1 : 0);
      },
    });
    // Not the library's own set: it samples the event loop a hundred times a second.
    new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Memory of the process.',
      registers,
      collect() {
        this.set(process.memoryUsage.rss());
      },
    });
    new Gauge({
      name: 'process_cpu_seconds_total',
      help: 'Processor time of the process.',
      registers,
      collect() {
        const { user, system } = process.cpuUsage();
        this.set((user + system) / 1e6);
      },
    });
  }
}
