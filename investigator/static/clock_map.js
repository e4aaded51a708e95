// From A's time to B's and back: one clock for two videos.

/** B = A + `offset` seconds, the same speed. */
export function offsetMap(offset) {
  return new ClockMap([[0, offset]]);
}

/** Through the borders of the stages that both videos have, straight in between; outside with the same speed. */
export function stageMap(stages) {
  const both = stages.filter((stage) => stage.a && stage.b).sort((one, other) => one.a[0] - other.a[0]);
  const knots = [];
  for (const { a, b } of both) {
    for (const knot of [[a[0] / 1000, b[0] / 1000], [a[1] / 1000, b[1] / 1000]]) {
      const last = knots.at(-1);
      if (!last || (knot[0] > last[0] + 1e-3 && knot[1] > last[1] + 1e-3)) knots.push(knot); // overlapping stages give no way back
    }
  }
  return new ClockMap(knots.length ? knots : [[0, 0]]);
}

export class ClockMap {
  /** `knots`: [[a, b], …] in seconds, both increasing, at least one. */
  constructor(knots) { this.knots = knots; }

  #at(value, from, to) {
    const { knots } = this;
    let place = 0;
    while (place + 1 < knots.length && knots[place + 1][from] <= value) place += 1;
    const here = knots[place];
    const next = knots[place + 1];
    if (value < here[from] || !next) return here[to] + value - here[from];
    return here[to] + ((value - here[from]) * (next[to] - here[to])) / (next[from] - here[from]);
  }

  bOf(a) { return this.#at(a, 0, 1); }
  aOf(b) { return this.#at(b, 1, 0); }

  /** The speeds of A and B at A's time `a`: the longer side plays at its own speed, the other waits for it. */
  rates(a) {
    const slope = (this.bOf(a + 0.02) - this.bOf(a)) / 0.02;
    return slope >= 1 ? [1 / slope, 1] : [1, slope];
  }
}
