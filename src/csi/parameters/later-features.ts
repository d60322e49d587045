import { PxError } from '../../kernel/errors.js';
import { parseBoolean } from './values.js';

/**
 * Parameters of features that px does not have yet. Accepting one and doing
 * nothing would be a lie about encryption or sharing, so only the value
 * that means "off" passes.
 */
interface LaterFeature {
  readonly feature: string;
  /** How to recognise "off"; absent: the key is never accepted. */
  readonly off?: (key: string, value: string) => boolean;
}

const isFalse = (key: string, value: string): boolean => !parseBoolean(key, value);

const laterKeys: Readonly<Record<string, LaterFeature>> = {
  secure: { feature: 'encryption', off: isFalse },
  secret_key: { feature: 'encryption' },
  secret_name: { feature: 'encryption' },
  'px/secure': { feature: 'encryption', off: isFalse },
  'px/secret-name': { feature: 'encryption' },
  'px/secret-namespace': { feature: 'encryption' },
  'px/secret-key': { feature: 'encryption' },
  sharedv4: { feature: 'shared volumes', off: isFalse },
  shared: { feature: 'shared volumes', off: isFalse },
  export_options: { feature: 'shared volumes' },
  journal: { feature: 'journal devices', off: isFalse },
  auto_fstrim: { feature: 'scheduled trimming', off: isFalse },
  ephemeral: { feature: 'ephemeral volumes', off: isFalse },
  placement_strategy: { feature: 'placement strategies' },
  scale: { feature: 'volume sets', off: (_key, value) => /^[01]$/.test(value.trim()) },
};

const laterPrefixes: readonly (readonly [string, string])[] = [
  ['sharedv4_', 'shared volumes'],
  ['proxy_', 'proxy volumes'],
];

export function isLaterFeature(key: string): boolean {
  return Object.hasOwn(laterKeys, key) || laterPrefixes.some(([start]) => key.startsWith(start));
}

/** True when the key belongs here and asks for nothing; throws when it asks for something. */
export function isLaterFeatureOff(key: string, value: string): boolean {
  const known = Object.hasOwn(laterKeys, key) ? laterKeys[key] : undefined;
  if (known !== undefined) {
    if (known.off?.(key, value) === true) return true;
    throw notYet(key, value, known.feature, known.off !== undefined);
  }
  const prefix = laterPrefixes.find(([start]) => key.startsWith(start));
  if (prefix !== undefined) throw notYet(key, value, prefix[1], false);
  return false;
}

function notYet(key: string, value: string, feature: string, canBeOff: boolean): PxError {
  const shown = /secret|key/i.test(key) ? '***' : value;
  const advice = canBeOff ? 'leave it out or switch it off' : 'leave it out';
  return new PxError(
    'invalid_argument',
    `parameter "${key}" has the value "${shown}", but this version has no ${feature}; ` +
      `allowed: ${advice}`,
    { key, feature },
  );
}
