import { createHash, randomBytes } from 'node:crypto';
import { resources } from '../../crds/resources.js';
import { toPxError } from '../../kernel/errors.js';
import type { Logger } from '../../platform/logger.js';
import type { EventNote, EventRecorder, KubeApi, KubeObject } from '../ports.js';
import { microTime } from './micro-time.js';

export interface EventRecorderOptions {
  readonly kube: KubeApi;
  readonly logger: Logger;
  /** The pod that speaks. */
  readonly instance: string;
  /** Repeats of a note are written together, so often at most. */
  readonly seriesEveryMs: number;
  /** A note that did not come again for so long begins anew. */
  readonly forgetAfterMs: number;
}

export const defaultEventTiming = { seriesEveryMs: 60_000, forgetAfterMs: 360_000 } as const;

interface Known {
  readonly namespace: string;
  readonly name: string;
  created: Promise<boolean>;
  count: number;
  writtenCount: number;
  lastMs: number;
  timer: NodeJS.Timeout | undefined;
}

const reportingController = 'px.io/operator';
const longestNote = 1_024;
/** The memory of what was said is bounded; what is forgotten is only said anew. */
const mostKnown = 1_000;

/**
 * Events of events.k8s.io/v1. The same note about the same object becomes a
 * series of one Event. Losing one is no reason to fail: Events are for people.
 */
export class KubeEventRecorder implements EventRecorder {
  private readonly known = new Map<string, Known>();
  private readonly pending = new Set<Promise<unknown>>();

  constructor(private readonly options: EventRecorderOptions) {}

  note(about: KubeObject, note: EventNote): void {
    const key = keyOf(about, note);
    const nowMs = Date.now();
    const known = this.known.get(key);
    if (known === undefined || nowMs - known.lastMs > this.options.forgetAfterMs) {
      this.create(key, about, note, nowMs);
      return;
    }
    known.count += 1;
    known.lastMs = nowMs;
    known.timer ??= setTimeout(() => this.writeSeries(known), this.options.seriesEveryMs).unref();
  }

  /** Writes what is not written yet. */
  async flush(): Promise<void> {
    for (const known of this.known.values()) {
      if (known.timer === undefined) continue;
      clearTimeout(known.timer);
      this.writeSeries(known);
    }
    await Promise.all(this.pending);
  }

  private create(key: string, about: KubeObject, note: EventNote, nowMs: number): void {
    if (this.known.size >= mostKnown) this.forgetOldest();
    const { namespace, name, uid, resourceVersion } = about.metadata;
    const event = {
      ...{ apiVersion: resources.event.apiVersion, kind: resources.event.kind },
      metadata: {
        name: `${name.slice(0, 200)}.${randomBytes(6).toString('hex')}`,
        // Events of objects without a namespace live in this one.
        namespace: namespace ?? 'default',
      },
      eventTime: microTime(nowMs),
      reportingController,
      reportingInstance: this.options.instance,
      action: 'Reconcile',
      type: note.type,
      reason: note.reason,
      note: shorten(note.message),
      regarding: {
        ...{ apiVersion: about.apiVersion, kind: about.kind, name, namespace },
        ...{ uid, resourceVersion },
      },
    };
    const entry: Known = {
      ...{ namespace: event.metadata.namespace, name: event.metadata.name },
      ...{ created: Promise.resolve(true), count: 1, writtenCount: 1, lastMs: nowMs },
      timer: undefined,
    };
    entry.created = this.write(() => this.options.kube.create(resources.event, event));
    this.known.delete(key);
    this.known.set(key, entry);
  }

  private writeSeries(known: Known): void {
    known.timer = undefined;
    const { count, lastMs } = known;
    if (count === known.writtenCount) return;
    known.writtenCount = count;
    void this.write(async () => {
      if (!(await known.created)) return;
      const series = { count, lastObservedTime: microTime(lastMs) };
      await this.options.kube.patch(resources.event, known, { series });
    });
  }

  private write(work: () => Promise<unknown>): Promise<boolean> {
    const done = work().then(
      () => true,
      (thrown: unknown) => {
        this.options.logger.debug('an Event was lost', { reason: toPxError(thrown).message });
        return false;
      },
    );
    this.pending.add(done);
    return done.finally(() => this.pending.delete(done));
  }

  private forgetOldest(): void {
    const oldest = this.known.entries().next().value;
    if (oldest === undefined) return;
    clearTimeout(oldest[1].timer);
    this.known.delete(oldest[0]);
  }
}

function keyOf(about: KubeObject, { type, reason, message }: EventNote): string {
  const { uid, namespace, name } = about.metadata;
  const who = uid ?? `${about.kind}/${namespace ?? ''}/${name}`;
  return createHash('sha256').update([who, type, reason, message].join('\0')).digest('base64');
}

function shorten(text: string): string {
  return text.length <= longestNote ? text : `${text.slice(0, longestNote - 1)}…`;
}
