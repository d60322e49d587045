import { parseMiscArgs } from './misc-args.js';

it.each([
  [undefined, {}, []],
  ['', {}, []],
  ['-rt_opts io-threads=2,log-level=debug', { 'io-threads': '2', 'log-level': 'debug' }, []],
  ['--rt_opts a=b=c', { a: 'b=c' }, []],
  ['-T px-storev2 --oem esse', {}, ['-T px-storev2', '--oem esse']],
  ['-v -rt_opts a=1 -rt_opts', { a: '1' }, ['-v', '-rt_opts']],
])('%s', (text, runtimeOptions, unsupported) => {
  expect(parseMiscArgs(text)).toEqual({ runtimeOptions, unsupported });
});
