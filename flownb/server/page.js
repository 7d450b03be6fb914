// How does a page without a notebook show the same views? It is the model that they ask.
// What a kernel's comm carries in a notebook goes over a WebSocket here.

const AGAIN = [500, 1000, 2000, 5000]; // milliseconds until the next try to connect

/** Follow a graph in an element; `view` is what the bundle of the views gives. */
function follow(view) {
  const asked = new URLSearchParams(location.search);
  const token = asked.get("token");
  const [main, menu, words] = ["view", "graphs", "words"].map((id) => document.getElementById(id));
  if (token) {
    asked.delete("token"); // it stays in this page, and in no history
    history.replaceState(null, "", `${location.pathname}${asked.size ? `?${asked}` : ""}`);
  }
  followTheme();
  let shown = null;

  function address(path, more = {}) {
    const url = new URL(path, document.baseURI);
    const all = token ? { ...more, token } : more;
    Object.entries(all).forEach(([name, value]) => url.searchParams.set(name, value));
    return url;
  }

  async function look() {
    try {
      const reply = await fetch(address("loops"));
      if (!reply.ok) throw new Error((await reply.json()).detail);
      const names = [...new Set((await reply.json()).loops.map((loop) => loop.graph))];
      list(names);
    } catch (error) {
      if (!shown) say(String(error.message));
    }
  }

  function list(names) {
    const wanted = shown?.graph ?? asked.get("graph") ?? names[0];
    menu.replaceChildren(...names.map((name) => {
      const button = document.createElement("button");
      button.textContent = name;
      button.type = "button";
      if (name === wanted) button.setAttribute("aria-current", "true");
      button.onclick = () => show(name);
      return button;
    }));
    menu.hidden = names.length < 2;
    if (!shown && wanted !== undefined) show(wanted);
    if (!names.length) say("no graph runs here");
  }

  function show(graph) {
    shown?.end();
    main.replaceChildren();
    document.title = `${graph} · flownb`;
    shown = connect(graph, { view, el: main, address, say });
    asked.set("graph", graph);
    history.replaceState(null, "", `${location.pathname}?${asked}`);
    look();
  }

  function say(text) {
    words.textContent = text;
    words.hidden = !text;
  }

  const lookAtRuns = followRuns(document.getElementById("runs"), address);
  const lookAtAll = () => Promise.all([look(), lookAtRuns()]);
  lookAtAll();
  setInterval(() => document.hidden || lookAtAll(), 5000);
}

/** List the last one-shot runs in an element; give what looks again. */
function followRuns(el, address) {
  const put = (tag, text = "", attributes = {}) => {
    const made = Object.assign(document.createElement(tag), { textContent: text });
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };
  const head = put("tr");
  head.append(...["graph", "status", "began", "took", "run"].map((word) => put("th", word, { scope: "col" })));
  const [table, body, detail] = [put("table"), put("tbody"), put("pre", "", { tabindex: "0" })];
  table.append(put("thead"), body);
  table.tHead.append(head);
  detail.hidden = true;
  el.append(put("h2", "Runs"), table, detail);
  let [chosen, seen] = ["", ""];

  async function show(id) {
    chosen = id === chosen ? "" : id;
    detail.hidden = !chosen;
    await fill();
    mark();
  }

  async function fill() {
    if (!chosen) return;
    const asked = chosen;
    const reply = await fetch(address(`runs/${encodeURIComponent(asked)}`));
    const run = await reply.json();
    const state = JSON.stringify(run.state, null, 1) ?? "";
    const lines = [`visited: ${run.visited?.join(", ")}`, `state: ${state.slice(0, 4000)}`];
    if (asked === chosen) detail.textContent = [run.error ?? run.detail, ...lines].filter(Boolean).join("\n");
  }

  function mark() {
    body.querySelectorAll("button").forEach((one) => one.setAttribute("aria-expanded", one.value === chosen));
  }

  function row(run) {
    const [line, button] = [put("tr"), put("button", run.run_id, { type: "button", value: run.run_id })];
    const took = run.status === "pending" ? "" : `${Math.max(0, run.updated - run.created).toFixed(2)} s`;
    const began = new Date(run.created * 1000).toLocaleTimeString();
    const last = put("td");
    button.onclick = () => show(run.run_id);
    last.append(button);
    line.append(put("td", run.graph), put("td", run.status, { class: `run-${run.status}` }), put("td", began), put("td", took), last);
    return line;
  }

  return async () => {
    const reply = await fetch(address("runs", { limit: 20 })).catch(() => null);
    if (!reply?.ok) return;
    const text = await reply.text();
    if (text === seen) return;
    seen = text;
    const { runs } = JSON.parse(text);
    el.hidden = !runs.length;
    body.replaceChildren(...runs.map(row));
    mark();
    await fill();
  };
}

/** Connect to a graph's view, again and again until `end()`. */
function connect(graph, { view, el, address, say }) {
  const values = { scene: {}, state: {}, selection: {} };
  const listeners = new Map();
  let [socket, tries, unmount, over] = [null, 0, null, false];
  const tell = (event, message) => (listeners.get(event) ?? []).forEach((fn) => fn(message));
  const put = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
  const model = {
    get: (name) => values[name],
    set: (name, value) => (values[name] = value),
    save_changes: () => put({ selection: values.selection }),
    send: put,
    on: (event, fn) => listeners.set(event, [...(listeners.get(event) ?? []), fn]),
    off: (event, fn) => listeners.set(event, (listeners.get(event) ?? []).filter((one) => one !== fn)),
  };

  function open() {
    const url = address("view", { graph });
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url);
    socket.onmessage = ({ data }) => take(JSON.parse(data));
    socket.onclose = ({ code }) => {
      if (over) return;
      tell("comm_live_update");
      say(code === 4404 ? `graph ${graph} does not run here any more` : "the server does not answer: trying again");
      setTimeout(() => over || open(), AGAIN[Math.min(tries++, AGAIN.length - 1)]);
    };
  }

  function take(message) {
    tries = 0;
    say(message.note ?? "");
    if (message.scene) values.scene = message.scene;
    if (!unmount) {
      values.state = message.state ?? {};
      unmount = view.render({ model, el });
      return;
    }
    if (message.scene) tell("change:scene");
    if (message.state || message.patch) tell("msg:custom", message);
  }

  open();
  return {
    graph,
    end() {
      over = true;
      unmount?.();
      socket.close();
    },
  };
}

/** Be as light or dark as the system is; the views look at the page. */
function followTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const look = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", look);
  look();
}
