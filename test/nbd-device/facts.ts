/** What the guest saw. */
export interface Facts {
  readonly devicePath: string;
  readonly attachedAgain: string;
  readonly listed: string;
  readonly sectors: number;
  readonly backend: string;
  readonly fioExit: number;
  readonly enginesKilled: number;
  readonly refusedWhileMounted: string;
  readonly sectorsAfterResize: number;
  readonly equal: boolean;
  readonly differences: number;
  readonly sectorsAfterDetach: number;
  readonly readOnly: string;
  readonly readAfterIdleKill: string;
  readonly takenOverBy: string;
  readonly loserGone: boolean;
  readonly connectedAtEnd: number;
}
