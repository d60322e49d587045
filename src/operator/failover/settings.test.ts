import { failoverSettings } from './settings.js';

describe('the settings of failover', () => {
  it('acts after 20 s, and only for nodes whose px is gone too, unless told otherwise', () => {
    expect(failoverSettings({})).toEqual({
      enabled: true,
      silenceMs: 20_000,
      whenUnreachable: false,
      problems: [],
    });
  });

  it('takes runtimeOptions, and an annotation before them', () => {
    const runtimeOptions = { 'failover-seconds': '40', failover: 'false' };
    const annotations = { 'px.io/failover-seconds': '60' };
    expect(failoverSettings({ runtimeOptions, annotations })).toMatchObject({
      enabled: false,
      silenceMs: 60_000,
    });
  });

  it.each([
    ['px.io/failover-seconds', '3', /"3": must be 15 to 3600 seconds; 20 is used/],
    ['px.io/failover-seconds', '20s', /must be 15 to 3600/],
    ['px.io/failover', 'no', /"no": must be "true" or "false"; true is used/],
  ])('names what it does not understand: %s=%s', (annotation, text, problem) => {
    const settings = failoverSettings({ annotations: { [annotation]: text } });
    expect(settings).toMatchObject({ enabled: true, silenceMs: 20_000 });
    expect(settings.problems).toEqual([expect.stringMatching(problem)]);
  });
});
