/** Progress that one can follow, and the table at the end. */
export interface Row {
  readonly what: string;
  readonly seconds: number;
  readonly shown: string;
  readonly ok: boolean;
}

export class Progress {
  private readonly started = performance.now();
  private readonly rows: Row[] = [];
  private readonly write: (text: string) => void;

  constructor(write: (text: string) => void) {
    this.write = write;
  }

  private stamp(): string {
    return `[${((performance.now() - this.started) / 1000).toFixed(1).padStart(6)} s]`;
  }

  say(text: string): void {
    this.write(`${this.stamp()}    ${text}\n`);
  }

  /** Runs one step; what it returns is what the table says was shown. */
  async step(what: string, act: () => Promise<string>): Promise<void> {
    this.write(`${this.stamp()} ${what}\n`);
    const started = performance.now();
    const seconds = (): number => (performance.now() - started) / 1000;
    try {
      const shown = await act();
      this.rows.push({ what, seconds: seconds(), shown, ok: true });
      this.say(shown);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.rows.push({ what, seconds: seconds(), shown: message.split('\n')[0] ?? '', ok: false });
      throw error;
    }
  }

  table(): string {
    return formatTable(this.rows);
  }
}

export function formatTable(rows: readonly Row[]): string {
  const width = Math.max(4, ...rows.map((row) => row.what.length));
  const lines = rows.map(
    ({ what, seconds, shown, ok }) =>
      `${what.padEnd(width)}  ${seconds.toFixed(1).padStart(6)} s  ${ok ? 'ok  ' : 'FAIL'}  ${shown}`,
  );
  const total = rows.reduce((sum, row) => sum + row.seconds, 0);
  const rule = '-'.repeat(width + 40);
  return [rule, ...lines, rule, `${'total'.padEnd(width)}  ${total.toFixed(1).padStart(6)} s`].join(
    '\n',
  );
}
