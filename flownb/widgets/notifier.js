// How does a notice reach somebody who looks elsewhere? As a notification of the browser.

/** Show the last notices, and ask once, on a click, whether the browser may pop them up. */
function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "flownb flownb-notifier";
  const button = document.createElement("button");
  button.type = "button";
  const list = document.createElement("ul");
  list.setAttribute("role", "log");
  root.append(button, list);
  el.append(root);

  const state = () => globalThis.Notification?.permission ?? "unsupported";
  const WORDS = {
    default: "Notify me in this browser",
    granted: "This browser notifies you",
    denied: "This browser lets no page notify you: notices stand here",
    unsupported: "This browser knows no notifications: notices stand here",
  };

  function look() {
    button.textContent = WORDS[state()];
    button.disabled = state() !== "default";
    list.replaceChildren(...model.get("notices").map(([time, title, text]) => {
      const line = document.createElement("li");
      line.textContent = `${new Date(time * 1000).toLocaleTimeString()} ${title}: ${text}`;
      return line;
    }));
  }

  function tell({ title, text, tag }) {
    // of two views of one widget the second replaces the notification of the first
    if (title && state() === "granted") new Notification(title, { body: text, tag });
  }

  button.onclick = async () => {
    await Notification.requestPermission();
    look();
  };
  model.on("change:notices", look);
  model.on("msg:custom", tell);
  look();
  return () => {
    model.off("change:notices", look);
    model.off("msg:custom", tell);
  };
}

export default { render };
