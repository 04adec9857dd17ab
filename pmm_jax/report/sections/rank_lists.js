{
  const section = document.getElementById("rank_lists"), dialog = document.getElementById("rank-pair");
  if (dialog) {
    section.querySelector(".rank-tools").hidden = false;
    let opener;
    section.addEventListener("click", ({ target }) => {
      const button = target.closest("button.tile");
      if (!button) return;
      opener = button;
      const pair = button.nextElementSibling.content.cloneNode(true);
      const query = button.closest(".rank-list").querySelector("figure img");
      for (const image of pair.querySelectorAll("[data-of]"))
        image.src = (image.dataset.of === "query" ? query : button.querySelector("img")).src;
      dialog.querySelector("div").replaceChildren(pair);
      dialog.showModal();
    });
    dialog.addEventListener("close", () => opener.focus());
    const camera = document.getElementById("rank-camera");
    camera?.addEventListener("change", () => {
      let shown = 0, all = 0;
      for (const list of section.querySelectorAll(".rank-list")) {
        const results = [...list.querySelectorAll("li")];
        for (const result of results)
          result.hidden = camera.value !== "" && result.dataset.camera !== camera.value;
        const left = results.filter((result) => !result.hidden).length;
        list.querySelector("[data-none]").hidden = left > 0;
        shown += left;
        all += results.length;
      }
      document.getElementById("rank-status").textContent = `${shown} of ${all} results shown`;
    });
  }
}
