import { PxError } from '../../kernel/errors.js';
import type { RunCommand } from '../run-command.js';

export interface ScriptedAnswer {
  readonly exitCode: number;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** FAKE programs for tests: each gives its answer, one without an answer fails. */
export function scriptedRun(answers: Readonly<Record<string, ScriptedAnswer>>): {
  readonly run: RunCommand;
  readonly ran: string[];
} {
  const ran: string[] = [];
  const run: RunCommand = (file, args, options) => {
    ran.push([file, ...args].join(' '));
    const answer = answers[file];
    if (answer === undefined || !(options.okExitCodes ?? [0]).includes(answer.exitCode)) {
      return Promise.reject(new PxError('internal', `${file} failed`));
    }
    return Promise.resolve({ stdout: '', stderr: '', ...answer });
  };
  return { run, ran };
}
