// Times in seconds, as people read and write them.

/** 83.456 -> "01:23.46"; hours only where there are any. */
export function clock(seconds, decimals = 2) {
  if (!Number.isFinite(seconds)) return "–:–";
  const scale = 10 ** decimals;
  const total = Math.round(Math.max(0, seconds) * scale);
  const whole = Math.floor(total / scale);
  const pad = (value, width = 2) => String(value).padStart(width, "0");
  const hours = Math.floor(whole / 3600);
  const head = hours ? `${hours}:${pad(Math.floor(whole / 60) % 60)}` : pad(Math.floor(whole / 60));
  return `${head}:${pad(whole % 60)}${decimals ? `.${pad(total % scale, decimals)}` : ""}`;
}

/** 104 -> "1 min 44 s". */
export function span(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

export function bytes(count) {
  if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} kB`;
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(2)} GB`;
}

const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

/** Round times inside [start, end] with at most `most` of them, and their labels. */
export function ticks(start, end, most) {
  const step = STEPS.find((one) => (end - start) / one <= most) ?? 14400;
  const decimals = step < 0.1 ? 2 : step < 1 ? 1 : 0;
  const values = [];
  for (let n = Math.ceil(start / step - 1e-9); n * step <= end + 1e-9; n += 1) values.push(n * step);
  return { values, labels: values.map((value) => clock(value, decimals)) };
}

/** The last place in the increasing `times` whose value is <= `seconds`; 0 before the first. */
export function placeAt(times, seconds) {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= seconds) low = middle;
    else high = middle - 1;
  }
  return low;
}
