"use strict";
let target = ""; // the ID of the element that open is to scroll to, as soon as Swagger UI has drawn it

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null, // no requests to other hosts
  plugins: [withoutNestedLinks, ownDeepLinks],
});

// Swagger UI puts a link into the button that unfolds an operation. Screen readers cannot use a link within a button, so the link
// has no address here. The button still changes the address of the page.
function withoutNestedLinks() {
  return {
    wrapComponents: {
      DeepLink: (Original, { React }) => (props) => React.createElement(Original, { ...props, enabled: false }),
    },
  };
}

// What Swagger UI leaves out for keyboards and screen readers: names of controls that show an icon or nothing, and focus for a part
// that scrolls. It draws them again and again.
const names = {
  "#servers": "Server",
  "textarea.body-param__text": "Request body",
  ".copy-to-clipboard button": "Copy to clipboard",
  ".close-modal": "Close",
  ".modal-btn.authorize": "Authorize: apply credentials",
};

new MutationObserver(() => {
  for (const [selector, name] of Object.entries(names)) {
    for (const element of document.querySelectorAll(selector)) {
      if (element.getAttribute("aria-label") !== name) element.setAttribute("aria-label", name);
    }
  }
  for (const element of document.querySelectorAll("pre.microlight:not([tabindex])")) element.tabIndex = 0;
  for (const element of document.querySelectorAll('a[href^="#/"][target]')) element.removeAttribute("target"); // it opens no other tab
  // Two tables, both a landmark without a name, are in one operation.
  for (const element of document.querySelectorAll("table[role=region]")) element.removeAttribute("role");
}).observe(document.querySelector("#reference"), { childList: true, subtree: true });

// The address of an operation is #/TAG/OPERATION_ID, that of a tag #/TAG. Swagger UI opens what the address of the page names once it has
// read the document, but warns on the console about each operationId with an underscore.
function ownDeepLinks() {
  return { statePlugins: { layout: { wrapActions: { parseDeepLinkHash: (_, system) => (address) => open(address, system) } } } };
}

// open unfolds the tag and the operation of an address, scrolls to it and gives it the focus.
function open(address, { layoutActions, layoutSelectors } = ui.getSystem()) {
  const names = address.replace(/^#\/?/, "").split("/").filter(Boolean).map(decode);
  if (names.length < 1 || names.length > 2) return;
  for (const part of [["operations-tag", names[0]], ["operations", ...names]].slice(0, names.length)) {
    // Swagger UI adds what it unfolds to the history. Not again what the user goes back to.
    if (!layoutSelectors.isShown(part, part[0] === "operations-tag")) layoutActions.show(part, true);
  }
  target = [names.length > 1 ? "operations" : "operations-tag", ...names].join("-");
  scrollToTarget();
}

function decode(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // not percent-encoded: no name of ours
  }
}

function scrollToTarget() {
  const element = target && document.getElementById(target);
  if (!element || element.matches(".opblock:not(.is-open)")) return;
  target = "";
  element.scrollIntoView();
  element.querySelector(".opblock-summary-control, .expand-operation")?.focus({ preventScroll: true });
}

new MutationObserver(scrollToTarget).observe(document.querySelector("#reference"), { childList: true, subtree: true, attributeFilter: ["class"] });

// The document's links between operations. The description of a tag is in a heading that folds the tag, so the heading must not get the
// click. A click with a modifier key opens another tab or window, as everywhere.
document.addEventListener("click", (event) => {
  const link = event.target.closest('#reference a[href^="#/"]');
  if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  open(link.hash);
  if (location.hash !== link.hash) history.pushState(null, "", link.hash); // it was unfolded already
}, true);

// The buttons Back and Forward, and an address that is pasted into the open page.
addEventListener("hashchange", () => open(location.hash));
