"use strict";

// What is wider than its box scrolls sideways, and the keyboard has to reach it.
const scrolled = new ResizeObserver(boxes => {
  for (const { target } of boxes) {
    if (target.scrollWidth > target.clientWidth) {
      target.tabIndex = 0;
    } else {
      target.removeAttribute("tabindex");
    }
  }
});
for (const box of document.querySelectorAll(".scroll")) {
  scrolled.observe(box);
}
