// Small helpers to build the document without markup in strings.

export const byId = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  apply(node, properties);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function vector(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function apply(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && name !== "role") node[name] = value;
    else node.setAttribute(name, value);
  }
}

export function icon(name) {
  return vector("svg", { class: "icon", "aria-hidden": "true" },
    vector("use", { href: `#i-${name}` }));
}

// Arrow keys move inside a group of which only one member is a tab stop.
export function roving(container, selector, choose) {
  container.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const members = [...container.querySelectorAll(selector)].filter((node) => !node.disabled);
    const at = members.indexOf(document.activeElement);
    if (at < 0) return;
    let next = null;
    if (event.key in steps) next = (at + steps[event.key] + members.length) % members.length;
    if (event.key === "Home") next = 0;
    if (event.key === "End") next = members.length - 1;
    if (next === null) return;
    event.preventDefault();
    event.stopPropagation();
    members[next].focus();
    choose?.(members[next]);
  });
}
