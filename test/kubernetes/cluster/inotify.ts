import { readdir, readFile, readlink, stat } from 'node:fs/promises';

/** Of a node's kubelet, containerd and kube-proxy, counted on a living one, and one to spare. */
const ofNode = 9;

async function instancesOf(pid: string, uid: number): Promise<number> {
  const dir = `/proc/${pid}/fd`;
  const owner = await stat(`/proc/${pid}`).catch(() => undefined);
  if (owner?.uid !== uid) return 0;
  let count = 0;
  for (const fd of await readdir(dir).catch(() => [])) {
    const target = await readlink(`${dir}/${fd}`).catch(() => '');
    if (target === 'anon_inode:inotify') count += 1;
  }
  return count;
}

/**
 * The kernel gives a user so many inotify instances (inotify(7)), on most
 * machines 128, and a kubelet that gets none ends at once, again and again.
 * The limit is the machine's and is left as it is: who starts one cluster too
 * many hears of it before. Returns undefined where there are enough.
 */
export async function inotifyShortage(nodes: number): Promise<string | undefined> {
  const file = '/proc/sys/fs/inotify/max_user_instances';
  const limit = Number(await readFile(file, 'utf8'));
  const needed = nodes * ofNode;
  let used = 0;
  const uid = process.getuid?.() ?? 0;
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) used += await instancesOf(pid, uid);
  if (used + needed <= limit) return undefined;
  return (
    `a cluster of ${nodes} nodes takes about ${needed} inotify instances, and of the ${limit} in ` +
    `${file} ${used} are in use: take another cluster down, or raise it`
  );
}
