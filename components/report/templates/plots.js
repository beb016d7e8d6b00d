// Unpacks Plotly and draws the plots of the page in the reader's colours, on screen and on paper.
(async () => {
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")].map(plot => ({
    element: plot.querySelector(".drawing"),
    ...JSON.parse(plot.querySelector("script").textContent),
  }));
  if (!("DecompressionStream" in window)) {
    for (const { element } of plots)
      element.textContent = "This is a plot. This browser cannot unpack the library that draws it: it has no " +
        "DecompressionStream, which browsers have had since 2023. The tables and sentences need no library.";
    root.dataset.plots = "not drawn";
    return;
  }
  try {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), letter => letter.charCodeAt(0));
    const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const library = document.createElement("script");
    library.textContent = await new Response(unpacked).text();
    document.head.append(library);
  } catch (error) { // a damaged page: each plot says below that Plotly is missing
    console.warn(error);
  }

  const templates = JSON.parse(document.getElementById("plot-templates").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const template = () => templates[dark.matches ? "dark" : "light"];
  const config = { responsive: true, displayModeBar: false };
  const drawn = [];
  for (const { element, data, layout } of plots) {
    element.textContent = "";
    try {
      await Plotly.newPlot(element, data, { ...layout, template: template() }, config);
      drawn.push({ element, height: layout.height });
    } catch (error) { // the plots after it are drawn all the same
      element.textContent = `This plot cannot be drawn: ${error.message}. The tables and sentences do not depend on it.`;
    }
  }
  const change = update => { for (const plot of drawn) Plotly.relayout(plot.element, update(plot)); };
  const resize = (scale, update) => change(({ element, height }) => {
    element.style.height = `${scale * height}px`;
    return { ...update, height: scale * height };
  });
  dark.addEventListener("change", () => change(() => ({ template: template() })));
  // lower on paper, where a plot that does not fit leaves the rest of its page empty
  addEventListener("beforeprint", () => resize(0.75, { template: templates.light, width: 680 }));
  addEventListener("afterprint", () => resize(1, { template: template(), width: null, autosize: true }));
  root.dataset.plots = "drawn";
  document.dispatchEvent(new Event("plots-drawn"));
})();
