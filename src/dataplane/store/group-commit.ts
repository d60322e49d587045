/**
 * Requests for the same kind of durability, one operation at a time: those that
 * come while one is under way share the next. Three arrays take turns, so that
 * a request costs no allocation.
 */
export class GroupCommit {
  private current: number[] = [];
  private next: number[] = [];
  private spare: number[] = [];
  private underWay = false;

  get busy(): boolean {
    return this.underWay;
  }

  /** True when the caller must start the operation now. */
  add(ticket: number): boolean {
    if (this.underWay) {
      this.next.push(ticket);
      return false;
    }
    this.current.push(ticket);
    this.underWay = true;
    return true;
  }

  /**
   * The operation has ended: its tickets, to be handed to `recycle` once they
   * are answered. When `busy` is still true, the next operation must be started.
   */
  finish(): number[] {
    const finished = this.current;
    this.current = this.next;
    this.next = this.spare;
    this.spare = [];
    this.underWay = this.current.length > 0;
    return finished;
  }

  recycle(finished: number[]): void {
    finished.length = 0;
    this.spare = finished;
  }
}
