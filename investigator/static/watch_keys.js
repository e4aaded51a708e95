// What the keys do in Watch.
import { RATES } from "./controls.js";
import { announce, byId } from "./element.js";
import { wordsOf } from "./queries.js";

export function watchKeys(watch) {
  const { player, state, queries, session } = watch;
  const by = (seconds) => watch.seek((player.wanted ?? player.shown) + seconds);
  const now = () => player.wanted ?? player.shown;
  const neighbour = (direction) => {
    const segment = watch.segmentList.next(now(), direction);
    if (segment) watch.seek(segment.start);
  };
  const edge = (place) => {
    const span = [player.loop?.start ?? 0, player.loop?.end ?? player.duration];
    span[place] = now();
    if (span[1] > span[0]) player.loop = { start: span[0], end: span[1], again: true };
    announce(`loop from ${span[0].toFixed(1)} to ${span[1].toFixed(1)} seconds`);
  };
  const rows = [
    { keys: [" ", "k"], label: "Space K", words: "play, pause", act: () => (player.playing ? watch.stop() : watch.start()) },
    { keys: ["ArrowLeft"], label: "←", words: "one second back", act: () => by(-1) },
    { keys: ["ArrowRight"], label: "→", words: "one second on", act: () => by(1) },
    { keys: ["j"], label: "J", words: "five seconds back", act: () => by(-5) },
    { keys: ["l"], label: "L", words: "five seconds on", act: () => by(5) },
    { keys: [","], label: ",", words: "one frame back", act: () => player.step(-1) },
    { keys: ["."], label: ".", words: "one frame on", act: () => player.step(1) },
    { keys: ["Home"], label: "Home", words: "to the beginning", act: () => watch.seek(0) },
    { keys: ["End"], label: "End", words: "to the end", act: () => watch.seek(player.duration) },
    { keys: ["<"], label: "<", words: "slower", act: () => rate(-1) },
    { keys: [">"], label: ">", words: "faster", act: () => rate(1) },
    { keys: ["m"], label: "M", words: "sound off, on", act: () => state.set({ muted: !state.muted }) },
    { keys: ["n"], label: "N", words: "next segment", act: () => neighbour(1) },
    { keys: ["p"], label: "P", words: "segment before", act: () => neighbour(-1) },
    { keys: ["["], label: "[", words: "loop from here", act: () => edge(0) },
    { keys: ["]"], label: "]", words: "loop to here", act: () => edge(1) },
    { keys: ["\\"], label: "\\", words: "end the loop", act: () => { player.loop = null; announce("no loop"); } },
    { keys: ["/"], label: "/", words: "type a new text", act: () => byId("new-text").focus() },
    { keys: ["1", "2", "3", "4", "5", "6", "7", "8", "9"], label: "1 – 9", words: "choose a text", act: (event) => choose(Number(event.key) - 1) },
    { keys: ["h"], label: "H", words: "hide, show the chosen text", act: () => change((query) => queries.change(query.slot, { hidden: !query.hidden })) },
    { keys: ["s"], label: "S", words: "the chosen text alone, all", act: () => change((query) => queries.solo(query.slot)) },
    { keys: ["t"], label: "T", words: "the threshold; then ↑ ↓", act: () => watch.curves.handle.focus() },
    { keys: ["z"], label: "Z", words: "zoom to the segment here", act: () => zoomHere() },
    { keys: ["+", "="], label: "+", words: "zoom in", act: () => watch.curves.zoom(0.5) },
    { keys: ["-"], label: "−", words: "zoom out", act: () => watch.curves.zoom(2) },
    { keys: ["0"], label: "0", words: "the whole video", act: () => state.set({ window: null }) },
    { keys: ["f"], label: "F", words: "follow the playhead", act: () => { state.set({ still: !state.still }); announce(state.still ? "not following" : "following"); } },
    { keys: ["g"], label: "G", words: "look for this frame", act: () => watch.grabFrame() },
  ];

  function rate(by) {
    const next = RATES[Math.min(Math.max(0, RATES.indexOf(state.rate) + by), RATES.length - 1)];
    state.set({ rate: next });
    announce(`${next} times`);
  }

  function choose(place) {
    const query = queries.list[place];
    if (!query) return;
    state.set({ focus: query.slot });
    announce(wordsOf(query));
  }

  function change(act) { if (queries.focused) act(queries.focused); }

  function zoomHere() {
    const segment = watch.segmentList.at(now());
    if (!segment) return announce("no segment here");
    const room = Math.max(1, (segment.end - segment.start) * 0.5);
    const end = (session.state.video.duration_ms ?? 0) / 1000 || player.duration;
    state.set({ window: [Math.max(0, segment.start - room), Math.min(end, segment.end + room)], still: true });
  }

  return rows;
}
