import { clusterAnnotations } from '../names.js';

/**
 * How node failures are handled: annotations of the StorageCluster, or its
 * `runtimeOptions` under the same name without "px.io/". The annotation wins,
 * as it can be set without a change of the spec.
 */
export interface FailoverSettings {
  readonly enabled: boolean;
  /** Silence of a kubelet after which its node may count as dead. */
  readonly silenceMs: number;
  /** Whether a silent kubelet is enough, though px on the node is well. */
  readonly whenUnreachable: boolean;
  /** What was asked and could not be understood, for a person. */
  readonly problems: readonly string[];
}

interface SettingsSource {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly runtimeOptions?: Readonly<Record<string, string | number | boolean>>;
}

const defaultSilenceSeconds = 20;

/**
 * A kubelet renews its lease every 10 s (a quarter of nodeLeaseDurationSeconds,
 * which is 40 by default); less than one and a half of that would take a late
 * renewal for a death.
 */
const leastSilenceSeconds = 15;
const mostSilenceSeconds = 3_600;

export function failoverSettings(source: SettingsSource): FailoverSettings {
  const problems: string[] = [];
  const value = (annotation: string): string | undefined => {
    const option = source.runtimeOptions?.[annotation.replace('px.io/', '')];
    return source.annotations?.[annotation] ?? (option === undefined ? undefined : String(option));
  };
  const flag = (annotation: string, otherwise: boolean): boolean => {
    const text = value(annotation);
    if (text === undefined) return otherwise;
    if (text === 'true' || text === 'false') return text === 'true';
    problems.push(`${annotation} is "${text}": must be "true" or "false"; ${otherwise} is used`);
    return otherwise;
  };
  const seconds = (): number => {
    const text = value(clusterAnnotations.failoverSeconds);
    if (text === undefined) return defaultSilenceSeconds;
    const parsed = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (parsed >= leastSilenceSeconds && parsed <= mostSilenceSeconds) return parsed;
    problems.push(
      `${clusterAnnotations.failoverSeconds} is "${text}": must be ${leastSilenceSeconds} to ` +
        `${mostSilenceSeconds} seconds; ${defaultSilenceSeconds} is used`,
    );
    return defaultSilenceSeconds;
  };
  return {
    enabled: flag(clusterAnnotations.failover, true),
    silenceMs: seconds() * 1_000,
    whenUnreachable: flag(clusterAnnotations.failoverWhenUnreachable, false),
    problems,
  };
}
