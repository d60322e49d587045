import { errorCodes, PxError } from '../kernel/errors.js';
import { errorLine } from './errors.js';
import { exitCodeFor, exitCodes, exitCodesHelp } from './exit-codes.js';

const endpoint = 'unix:///run/px/px-node.sock';

describe('errorLine', () => {
  test('is one line whatever the message, and says what to do', () => {
    for (const code of errorCodes) {
      const line = errorLine(new PxError(code, 'first\n  second'), endpoint);
      expect(line).toMatch(/^pxctl: first second( \(.+\))?$/);
    }
    expect(errorLine(new PxError('aborted', 'busy'), endpoint)).toBe(
      'pxctl: busy (wait for it to end and try again)',
    );
  });

  test('tells a px-node that is not there from a peer that is not', () => {
    const message =
      `px-node at ${endpoint} does not answer: No connection established. ` +
      'Last error: Error: connect ENOENT /run/px/px-node.sock. Resolution note: ';
    expect(errorLine(new PxError('unavailable', message), endpoint)).toBe(
      `pxctl: px-node at ${endpoint} does not answer: connect ENOENT /run/px/px-node.sock ` +
        '(start px-node on this node, or name another with --endpoint or PXCTL_ENDPOINT)',
    );
    const peer = new PxError('unavailable', 'px-node at 10.0.0.2:9002 does not answer');
    expect(errorLine(peer, endpoint)).toContain('pxctl cluster list');
  });

  test('does not send people to the log of px-node for a program that pxctl ran', () => {
    const own = new PxError('internal', '"mount" gave 32: no', { exitCode: 32 });
    expect(errorLine(own, endpoint)).toBe('pxctl: "mount" gave 32: no');
    expect(errorLine(new PxError('internal', 'bug'), endpoint)).toContain('log of px-node');
  });
});

describe('exit codes', () => {
  test('every error has one that is no success, and every code is documented', () => {
    for (const code of errorCodes) expect(exitCodeFor(code)).toBeGreaterThan(0);
    for (const code of Object.values(exitCodes)) {
      expect(exitCodesHelp).toMatch(new RegExp(`^  ${code}  \\S`, 'm'));
    }
    expect(exitCodeFor('not_found')).toBe(3);
    expect(exitCodeFor('kvdb_unavailable')).toBe(4);
    expect(exitCodeFor('failed_precondition')).toBe(5);
    expect(exitCodeFor('out_of_range')).toBe(2);
  });
});
