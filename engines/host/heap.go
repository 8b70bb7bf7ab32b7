package host

// deadlines is a binary heap of units, the earliest first. Written out, since
// container/heap costs an interface call for each comparison on the busiest
// path there is.
type deadlines []*unit

func (h *deadlines) push(u *unit) {
	u.heap = len(*h)
	*h = append(*h, u)
	h.fix(u)
}

func (h *deadlines) remove(u *unit) {
	i, last := u.heap, len(*h)-1
	h.swap(i, last)
	*h = (*h)[:last]
	u.heap = -1
	if i < last {
		h.fix((*h)[i])
	}
}

// fix puts a unit whose deadline has changed in its place.
func (h *deadlines) fix(u *unit) {
	s, i := *h, u.heap
	for i > 0 && s[i].deadline < s[(i-1)/2].deadline {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s); c++ {
			if s[c].deadline < s[least].deadline {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

func (h *deadlines) swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].heap, s[j].heap = i, j
}
