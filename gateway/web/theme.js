// Light or dark: as the system has it, or as the reader chose.

const dark = matchMedia("(prefers-color-scheme: dark)");

export function followTheme(select) {
  const use = () => {
    const chosen = select.value === "system" ? (dark.matches ? "dark" : "light") : select.value;
    document.documentElement.dataset.theme = chosen;
  };
  select.value = localStorage.getItem("theme") ?? "system";
  if (!select.value) select.value = "system";
  select.addEventListener("change", () => {
    localStorage.setItem("theme", select.value);
    use();
  });
  dark.addEventListener("change", use);
  use();
}
