import koffi from 'koffi';

/** Waits on Node's event loop until the descriptor is readable; false when the time is over. */
export function whenReadable(fd: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (readable: boolean): void => {
      clearTimeout(timer);
      handle.close();
      resolve(readable);
    };
    const handle = koffi.node.poll(fd, { readable: true }, () => settle(true));
    const timer = setTimeout(() => settle(false), timeoutMs);
  });
}
