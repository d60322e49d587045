/** Fails a case with these words unless the condition holds. */
export function check(condition: boolean, words: string): asserts condition {
  if (!condition) throw new Error(words);
}
