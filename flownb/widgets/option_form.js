// How are the options of a node, an edge or a loop set? A form, whose fields Python has named.
import { attr, h, text } from "./base.js";

const FEW = 6; // fields that are seen at once

/**
 * Give what was typed as the value of a field; undefined for what is no number or no JSON.
 * @param {{type: string, may_be_empty?: boolean, default?: any}} field
 */
export function read(field, typed) {
  if (field.type === "flag") return Boolean(typed);
  const word = String(typed).trim();
  if (word === "") return field.may_be_empty || field.type === "json" ? null : field.default ?? "";
  if (field.type === "number" || field.type === "integer") {
    const number = Number(word.replace(",", "."));
    const whole = field.type === "number" || Number.isInteger(number);
    return Number.isFinite(number) && whole ? number : undefined;
  }
  if (field.type !== "json") return word;
  try {
    return JSON.parse(word);
  } catch {
    return undefined;
  }
}

/** Write the value of a field as one types it. */
export function written(field, value) {
  if (value === null || value === undefined) return "";
  return field.type === "json" || typeof value === "object" ? JSON.stringify(value) : String(value);
}

const WRONG = { number: "a number", integer: "a whole number", json: "JSON: true, 3, \"text\", [1, 2] or {\"key\": 1}" };
const inCode = (value) => value !== null && typeof value === "object" && typeof value.code === "string";
let forms = 0;

/** Make a form. @param {(name: string, value: any) => void} set */
export function optionForm(set) {
  const el = h("div", { class: "flownb-form" });
  const id = `flownb-form-${(forms += 1)}`;
  let fields = new Map();
  let shape = "";
  let opened = false;

  function show(list, refused) {
    const now = JSON.stringify(list.map((f) => [f.name, f.type, f.choices, inCode(f.value)]));
    if (now !== shape) build(list);
    shape = now;
    for (const field of list) fields.get(field.name).show(field, refused?.option === field.name ? refused.text : "");
  }

  function build(list) {
    opened = el.querySelector("details")?.open ?? opened;
    fields = new Map(list.map((field) => [field.name, row(field)]));
    const rows = list.map((field) => fields.get(field.name).el);
    const first = list.findIndex((f, i) => i >= FEW && !f.own);
    const few = first < 0 ? rows.length : first;
    const more = rows.slice(few);
    const fold = h("details", opened ? { open: "" } : {}, h("summary", {}, `${more.length} more options`), ...more);
    el.replaceChildren(...rows.slice(0, few), ...(more.length ? [fold] : []));
  }

  function row(first) {
    let field = first;
    const wrong = h("p", { class: "flownb-field-error", role: "alert", hidden: "" });
    const label = h("span", { class: "flownb-field-name" }, field.label);
    const input = control(field, (value) => {
      const made = read(field, value);
      complain(made === undefined ? `write ${WRONG[field.type]}` : "");
      if (made !== undefined) set(field.name, made);
    });
    const given = input.querySelector?.("input,select") ?? input;
    if (field.help) attr(given, "title", field.help);
    const line = h("label", { class: `flownb-field flownb-field-${field.type}` }, label, input);
    const place = h("div", { "data-option": field.name }, line, wrong);
    function complain(words) {
      text(wrong, words);
      wrong.hidden = !words;
      attr(given, "aria-invalid", words ? "true" : null);
    }
    return {
      el: place,
      show: (next, words) => {
        field = next;
        complain(words);
        place.classList.toggle("flownb-changed", JSON.stringify(next.value) !== JSON.stringify(next.default));
        if (words || given.getRootNode().activeElement === given || inCode(next.value)) return; // what was typed stays, to be mended
        if (next.type === "flag") given.checked = Boolean(next.value);
        else given.value = next.type === "choice" ? String(next.value) : written(next, next.value);
      },
    };
  }

  function control(field, changed) {
    if (inCode(field.value)) return h("code", { title: "set in code" }, field.value.code);
    if (field.type === "flag") return h("input", { type: "checkbox", onchange: (e) => changed(e.target.checked) });
    if (field.type === "choice") {
      const choices = field.choices.map((word) => h("option", { value: word }, String(word).replaceAll("_", " ")));
      return h("select", { onchange: (e) => changed(e.target.value) }, ...choices);
    }
    const input = h("input", {
      type: "text", spellcheck: "false", autocomplete: "off", placeholder: placeholder(field), onchange: (e) => changed(e.target.value),
      ...(field.type === "number" || field.type === "integer" ? { inputmode: "decimal" } : {}),
    });
    if (field.type !== "open") return input;
    const list = h("datalist", { id: `${id}-${field.name}` }, ...(field.choices ?? []).map((word) => h("option", { value: word })));
    attr(input, "list", list.id);
    return h("span", { class: "flownb-open" }, input, list);
  }

  return { el, show, focus: (name) => (fields.get(name)?.el ?? el).querySelector("input,select")?.focus() };
}

function placeholder(field) {
  if (field.name === "fn") return "passes on";
  return field.default === null || field.default === undefined || field.default === "" ? "–" : written(field, field.default);
}
