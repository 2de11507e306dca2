"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const root = document.documentElement;

  // light or dark: what the system says, unless the reader has chosen
  const theme = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-label", "Switch to " + (dark() ? "light" : "dark") + " colours"); };
  try { const kept = localStorage.getItem("infer-theme"); if (kept) root.dataset.theme = kept; } catch { /* a page from a file may have no storage */ }
  theme.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("infer-theme", root.dataset.theme); } catch { /* as above */ }
    name();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  name();

  // sections fold; printing and links unfold them
  const sections = all("main > section > details");
  const fold = document.getElementById("fold");
  fold.addEventListener("click", () => {
    const open = fold.getAttribute("aria-expanded") !== "true";
    for (const details of sections) details.open = open;
    fold.setAttribute("aria-expanded", String(open));
    fold.textContent = open ? "Collapse all" : "Expand all";
  });
  let folded = [], headings = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const details of folded) details.open = true;
    headings = all("thead button").map(button => {  // browsers leave buttons out where they repeat the head of a table
      const text = Object.assign(document.createElement("span"), { textContent: button.textContent });
      button.style.display = "none";
      button.after(text);
      return [button, text];
    });
  });
  addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
    for (const [button, text] of headings) { text.remove(); button.style.display = ""; }
  });
  const unfold = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const details = target && target.querySelector(":scope > details");
    if (details) details.open = true;
  };
  addEventListener("hashchange", unfold);
  unfold();

  // where the reader is
  const links = new Map(all("nav a").map(link => [link.getAttribute("href").slice(1), link]));
  const seen = new IntersectionObserver(entries => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      if (!link) continue;
      link.setAttribute("aria-current", "true");
      const list = link.closest("nav");
      if (list.scrollWidth > list.clientWidth) list.scrollLeft = link.offsetLeft - list.clientWidth / 3;
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of all("main > section")) seen.observe(section);

  // tables: filter, show all, sort
  for (const table of all("table[data-top]")) {
    const rows = all("tbody > tr", table), top = Number(table.dataset.top), body = table.tBodies[0];
    const tools = table.closest(".scroll").previousElementSibling;
    const filter = tools.querySelector("input"), more = tools.querySelector(".more"), count = tools.querySelector(".count");
    const texts = new Map(rows.map(row => [row, row.querySelector("th").textContent.toLowerCase() + " " + all(".name", row).map(c => c.textContent.toLowerCase()).join(" ")]));
    let order = rows, every = rows.length <= top;
    const show = () => {
      const wanted = filter.value.trim().toLowerCase();
      let shown = 0, found = 0;
      for (const row of order) {
        const matches = !wanted || texts.get(row).includes(wanted);
        if (matches) found += 1;
        const visible = matches && (every || wanted || shown < top);
        if (visible) shown += 1;
        row.classList.toggle("off", !visible);
      }
      count.textContent = (shown < rows.length ? shown + " of " : "") + rows.length + " " + table.dataset.what + (wanted && !found ? ": no such name" : "");
    };
    tools.hidden = false;
    filter.addEventListener("input", show);
    if (more) more.addEventListener("click", () => {
      every = !every;
      more.setAttribute("aria-expanded", String(every));
      more.textContent = every ? "Show the first " + top : "Show all " + rows.length;
      show();
    });
    for (const header of all("thead th[data-sort]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      header.append(button);
      if (!header.hasAttribute("aria-sort")) header.setAttribute("aria-sort", "none");
      const at = header.cellIndex, kind = header.dataset.sort, numeric = kind !== "text";
      button.addEventListener("click", () => {
        const before = header.getAttribute("aria-sort");
        const first = numeric && header.textContent !== "Rank" ? "descending" : "ascending";
        const next = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
        for (const other of all("thead th[data-sort]", table)) other.setAttribute("aria-sort", "none");
        header.setAttribute("aria-sort", next);
        const sign = next === "ascending" ? 1 : -1;
        const key = row => { const cell = row.cells[at]; if (!numeric) return cell.textContent; const value = cell.dataset.v === undefined ? NaN : Number(cell.dataset.v); return kind === "size" ? Math.abs(value) : value; };
        const keys = new Map(rows.map(row => [row, key(row)]));
        order = [...rows].sort((one, two) => {
          const a = keys.get(one), b = keys.get(two);
          if (!numeric) return sign * a.localeCompare(b, undefined, { numeric: true });
          return Number.isNaN(a) ? (Number.isNaN(b) ? 0 : 1) : Number.isNaN(b) ? -1 : sign * (a - b);
        });
        body.append(...order);
        show();
      });
    }
    show();
  }

  // correlations of one parameter
  const data = document.getElementById("lookup-data");
  if (data) {
    const { names, rows } = JSON.parse(data.textContent);
    const input = document.getElementById("lookup"), found = document.getElementById("lookup-found");
    const options = names.map(name => Object.assign(document.createElement("option"), { value: name }));
    document.getElementById("lookup-names").append(...options);
    document.querySelector(".lookup").hidden = false;
    input.addEventListener("input", () => {
      found.replaceChildren();
      const at = names.indexOf(input.value.trim());
      if (at < 0) { if (input.value) found.textContent = "Choose a parameter from the list."; return; }
      const others = names.map((name, i) => [name, i === at ? 0 : i < at ? rows[at][i] : rows[i][at]]);
      others.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
      const list = document.createElement("ol");
      for (const [name, percent] of others.slice(0, 15)) {
        if (!percent) break;
        const item = document.createElement("li"), bar = document.createElement("span"), text = document.createElement("span");
        bar.className = "bar " + (percent < 0 ? "negative" : "positive");
        bar.style.width = Math.abs(percent) * 1.2 + "px";
        text.textContent = name + "  " + (percent < 0 ? "−" : "+") + (Math.abs(percent) / 100).toFixed(2);
        item.append(text, bar);
        list.append(item);
      }
      found.append(list.childNodes.length ? list : "No correlation above 0.01.");
    });
  }

  // the line, to be copied
  for (const code of navigator.clipboard ? all(".copies code") : []) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
    button.addEventListener("click", () => navigator.clipboard.writeText(code.textContent).then(() => { button.textContent = "Copied"; }, () => { button.textContent = "Not allowed"; }));
    code.after(button);
  }

  document.querySelector(".switches").hidden = false;
})();
