package guard

// relatives returns, per interface index, the indexes of all interfaces that
// frames can reach from it inside the kernel: members and master of a bridge,
// bond or VRF, and children stacked on a parent (VLAN, macvlan, ipvlan …).
// The relation goes both ways and over several steps.
func relatives(links []link) map[int][]int {
	near := make(map[int][]int, len(links))
	known := make(map[int]bool, len(links))
	for _, l := range links {
		known[l.index] = true
	}
	for _, l := range links {
		for _, other := range []int{l.master, l.parent} {
			if other == 0 || other == l.index || !known[other] {
				continue
			}
			near[l.index] = append(near[l.index], other)
			near[other] = append(near[other], l.index)
		}
	}
	return near
}

// reach walks from one interface to all its relatives and returns for each
// the neighbour through which it was reached.
func reach(start int, near map[int][]int) map[int]int {
	through := map[int]int{}
	queue := []int{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range near[at] {
			if _, seen := through[next]; seen || next == start {
				continue
			}
			through[next] = at
			queue = append(queue, next)
		}
	}
	return through
}
