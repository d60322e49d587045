import type { EventRecorder, KubeObject } from '../ports.js';

/**
 * Events about what holds now: each is noted when it begins and again when it
 * has been otherwise in between, not at every pass that still sees it.
 */
export class CurrentEvents {
  private readonly noted = new Map<string, ReadonlySet<string>>();

  constructor(private readonly recorder: EventRecorder) {}

  /** `messages` is all that now holds under this reason. */
  say(
    about: KubeObject,
    type: 'Normal' | 'Warning',
    reason: string,
    messages: readonly string[],
  ): void {
    const key = `${about.metadata.uid ?? ''}/${reason}`;
    const before = this.noted.get(key);
    for (const message of messages) {
      if (before?.has(message) !== true) this.recorder.note(about, { type, reason, message });
    }
    this.noted.set(key, new Set(messages));
  }
}
