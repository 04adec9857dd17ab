{
  const map = document.querySelector(".map");
  if (map) {
    const { identities, points } = JSON.parse(document.getElementById("map-points").textContent);
    const svg = map.querySelector("svg"), here = map.querySelector(".here");
    const tools = map.querySelector(".tools"), crop = map.querySelector(".crop");
    const output = map.querySelector("output"), groups = [...svg.querySelectorAll("g")];
    const identityBox = document.getElementById("map-identity");
    const imageBox = document.getElementById("map-image");
    const firsts = identities.map((_, number) => points.findIndex((p) => p.identity === number));
    const size = (identity) => identity.queries + identity.gallery;
    let shown = -1;

    const show = (index) => {
      if (index === shown) return;
      shown = index;
      const point = points[index], identity = identities[point.identity];
      const image = index - firsts[point.identity] + 1, images = size(identity);
      groups.forEach((group, number) => group.classList.toggle("chosen", number === point.identity));
      map.classList.add("chosen");
      here.setAttribute("cx", point.x);
      here.setAttribute("cy", point.y);
      identityBox.value = point.identity;
      imageBox.max = images;
      imageBox.value = image;
      imageBox.setAttribute("aria-valuetext", `${image} of ${images}`);
      if (crop) {
        const { columns, width, height } = crop.dataset;
        crop.style.backgroundPosition =
          `${-2 * width * (index % columns)}px ${-2 * height * Math.floor(index / columns)}px`;
      }
      output.textContent = `Identity ${identity.name}, image ${image} of ${images}: `
        + `${point.camera ? `camera ${point.camera}` : "unknown camera"}, ${point.set}. ${point.path}`;
    };

    const showNearest = (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
      const away = points.map((point) => Math.hypot(point.x - x, point.y - y));
      const least = Math.min(...away);
      if (least < 30) show(away.indexOf(least));
    };

    tools.hidden = false;
    svg.addEventListener("pointermove", showNearest);
    svg.addEventListener("pointerdown", showNearest);
    identityBox.addEventListener("input", () => show(firsts[identityBox.value]));
    imageBox.addEventListener("input", () =>
      show(firsts[identityBox.value] + Number(imageBox.value) - 1));
    imageBox.max = size(identities[0]);
  }
}
