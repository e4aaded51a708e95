// Few points where many rows share a pixel.

/** At most two rows a column of [start, end], its lowest and highest, so that no peak is lost: places into `times`. */
export function decimated(times, values, start, end, columns) {
  let first = 0;
  while (first < times.length && times[first] < start) first += 1;
  let last = times.length;
  while (last > first && times[last - 1] > end) last -= 1;
  first = Math.max(0, first - 1); // the lines reach the plot's edges
  last = Math.min(times.length, last + 1);
  if (last - first <= columns * 2) return Array.from({ length: last - first }, (_, n) => first + n);
  const places = [];
  for (let column = 0; column < columns; column += 1) {
    const begin = first + Math.floor(((last - first) * column) / columns);
    const stop = first + Math.floor(((last - first) * (column + 1)) / columns);
    let [low, high] = [begin, begin];
    for (let row = begin; row < stop; row += 1) {
      if (values[row] < values[low]) low = row;
      if (values[row] > values[high]) high = row;
    }
    places.push(...(low === high ? [low] : [Math.min(low, high), Math.max(low, high)]));
  }
  return places;
}

/** [0, end] without the `stretches` ([begin, end] in seconds, sorted): what is not analysed yet. */
export function complement(stretches, end) {
  const gaps = [];
  let from = 0;
  for (const [begin, stop] of stretches) {
    if (begin > from + 1e-3) gaps.push({ start: from, end: begin });
    from = Math.max(from, stop);
  }
  if (from < end - 1e-3) gaps.push({ start: from, end });
  return gaps;
}
