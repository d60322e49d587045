import type { ReplicaRecord } from '../../kernel/volume-record.js';
import { Cleaner } from './cleaner.js';
import { ContentRestore } from './content-restore.js';
import type { CoordinatorDeps } from './coordinator-types.js';
import { CoordinatorCore } from './core.js';
import { InternalIo } from './internal-io.js';
import { IoPath } from './io-path.js';
import { Joining } from './joining.js';
import type { Link } from './link.js';
import { Membership } from './membership.js';
import { noFaults } from './planted-faults.js';
import { RangeCopier } from './range-copier.js';
import { Recovery } from './recovery.js';
import { Repairs } from './repairs.js';
import { Roster } from './roster.js';
import { Sessions } from './sessions.js';
import { VolumeOps } from './volume-ops.js';

export interface CoordinatorParts {
  readonly core: CoordinatorCore;
  readonly io: IoPath;
  readonly internal: InternalIo;
  readonly copier: RangeCopier;
  readonly membership: Membership;
  readonly roster: Roster;
  readonly recovery: Recovery;
  readonly cleaner: Cleaner;
  readonly ops: VolumeOps;
  readonly restore: ContentRestore;
  readonly joining: Joining;
  readonly repairs: Repairs;
  readonly sessions: Sessions;
}

/** What the parts tell the whole. */
export interface PartEvents {
  epoch(): number;
  /** Somebody else coordinates the volume. */
  fenced(reason: string): void;
  /** Recovery is over: requests may begin. */
  recovered(): void;
  /** A replica came into the record. */
  arrived(replica: ReplicaRecord): void;
  /** It was taken out of the record. */
  departed(link: Link): void;
  /** Ends the link's session and tells every part. */
  dropLink(link: Link, reason: string): void;
  /** A session has ended by itself. */
  lost(link: Link, reason: string): void;
  /** Roles have changed. */
  changed(): void;
}

/** Makes the parts of a coordinator and wires them to each other. */
export function makeParts(deps: CoordinatorDeps, events: PartEvents): CoordinatorParts {
  const { volumeId, nodeId, slots, clock, host, options } = deps;
  const faults = options.faults ?? noFaults;
  const core = new CoordinatorCore(volumeId, nodeId, slots, clock, host, options);
  const io = new IoPath(core, faults);
  const internal = new InternalIo(core);
  const copier = new RangeCopier(core, internal, faults);
  const membership = new Membership(core, io, events, () => events.epoch());
  const dismiss = (link: Link, reason: string): void => membership.dismiss(link, reason);
  const lost = (link: Link, reason: string): void => events.lost(link, reason);
  const roster = new Roster(core, membership, faults, events);
  const recovery = new Recovery(core, membership, copier, faults, () => events.recovered());
  const cleaner = new Cleaner(core, io, internal);
  const ops = new VolumeOps(core, io, internal, cleaner);
  const restore = new ContentRestore(core, membership, ops, () => events.changed());
  const joining = new Joining(core, io, internal, copier, membership, faults);
  const repairs = new Repairs(core, membership, copier, io, lost);
  const sessions = new Sessions(core, deps, {
    epoch: () => events.epoch(),
    completedSeq: () => io.completedSeq,
    dismiss,
    lost,
    leased: () => io.pump(),
  });
  io.membership = {
    dismiss,
    fenced: (reason) => events.fenced(reason),
    repair: (offset, length, done) => repairs.repair(offset, length, done),
  };
  return {
    ...{ core, io, internal, copier, membership, roster, recovery },
    ...{ cleaner, ops, restore, joining, repairs, sessions },
  };
}
